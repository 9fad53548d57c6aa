"""Driver and simulated board over bytes: the laws of docs/board-link.md, section "Lease", and of every driver."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from evse.domain.base import BugError, DeviceError
from evse.domain.readings import NoDataReason
from evse.domain.signals import BoardCommand, ContactorFeedback, CpState, HlcStep, LockState
from evse.protocols import board_link_messages as m
from evse.units import ms
from tests.board.rig import CLOSE, PORT, Rig, with_rig


def test_reading_is_absent_with_reason_until_the_board_has_said_hello_and_status() -> None:
    async def test(rig: Rig) -> None:
        assert rig.absence().reason is NoDataReason.NEVER
        await rig.forward_ms(200)
        status = rig.status()
        assert status.cp is CpState.A
        assert not status.estop
        assert rig.driver.info is not None
        assert rig.driver.info.board_id == "SIM0000001"
        assert rig.driver.info.protocol_version == 1
        assert rig.driver.info.capabilities & m.Capability.DC
        assert rig.driver.health()[0].online

    with_rig(test)


def test_every_level_of_a_command_reaches_the_plant_and_every_plant_value_comes_back() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        plant = rig.plant
        assert plant.out.offered_mv == 500_000
        assert plant.out.offered_ma == 200_000
        assert plant.out.lock
        plant.follow_outputs()
        plant.step, plant.soc_pct, plant.evcc_id, plant.demand_mv = HlcStep.CURR, 55, "0011AABBCCDD", 401_500
        await rig.forward_ms(100, CLOSE)
        status = rig.status()
        assert status.contactor is ContactorFeedback.CLOSED
        assert status.lock is LockState.LOCKED
        assert (status.step, status.soc_pct, status.evcc_id) == (HlcStep.CURR, 55, "0011AABBCCDD")
        assert status.demand_mv == 401_500
        assert status.lease_active

    with_rig(test)


def test_lease_ends_at_exactly_300_ms_when_the_control_loop_goes_silent_although_heartbeats_go_on() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        rig.driver.command(CLOSE)
        last = rig.clock.now()
        while rig.plant.out.contactor_closed:
            await asyncio.sleep(0.001)
        assert ms(300) <= rig.clock.now() - last <= ms(301)
        await rig.forward_ms(200)
        status = rig.status()
        assert not status.lease_active
        assert m.flag_names(status.error_flags) == ("LEASE_EXPIRED",)
        assert "lease expired" in [text for _, text in rig.driver.events]

    with_rig(test)


def test_contactor_stays_closed_while_commands_come_every_299_ms() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        for _ in range(20):
            rig.driver.command(CLOSE)
            for _ in range(299):
                await asyncio.sleep(0.001)
                assert rig.plant.out.contactor_closed

    with_rig(test)


def test_after_an_expired_lease_the_contactor_closes_only_after_a_command_without_lease() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        await rig.forward_ms(400)
        assert not rig.plant.out.contactor_closed
        await rig.forward_ms(500, CLOSE)
        assert not rig.plant.out.contactor_closed
        await rig.forward_ms(100, BoardCommand(permit=True))
        await rig.forward_ms(100, CLOSE)
        assert rig.plant.out.contactor_closed

    with_rig(test)


def test_emergency_stop_opens_in_the_same_instant_and_needs_rearming() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        rig.plant.estop = True
        assert not rig.plant.out.contactor_closed
        await rig.forward_ms(100, CLOSE)
        assert rig.status().estop
        rig.plant.estop = False
        await rig.forward_ms(300, CLOSE)
        assert not rig.plant.out.contactor_closed

    with_rig(test)


@pytest.mark.parametrize("cp", [CpState.A, CpState.B, CpState.E, CpState.F, CpState.UNKNOWN])
def test_pilot_outside_c_and_d_opens_in_the_same_instant(cp: CpState) -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        rig.plant.cp = cp
        assert not rig.plant.out.contactor_closed
        await rig.forward_ms(100, CLOSE)
        rig.plant.cp = CpState.C
        await rig.forward_ms(200, CLOSE)
        assert not rig.plant.out.contactor_closed

    with_rig(test)


def test_a_lease_before_the_pilot_is_in_c_does_not_close_and_does_not_need_rearming() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(200)
        rig.plant.cp = CpState.B
        await rig.forward_ms(300, CLOSE)
        assert not rig.plant.out.contactor_closed
        rig.plant.cp = CpState.C
        await rig.forward_ms(100, CLOSE)
        assert rig.plant.out.contactor_closed

    with_rig(test)


def test_lock_is_kept_until_the_voltage_is_safe_to_touch() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        rig.plant.output_mv = 400_000
        await rig.forward_ms(100, BoardCommand())
        assert rig.plant.out.lock
        rig.plant.output_mv = 59_000
        await rig.forward_ms(100, BoardCommand())
        assert not rig.plant.out.lock

    with_rig(test)


def test_unplugged_adapter_is_named_and_comes_back_without_restart() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        rig.unplug()
        await rig.forward_ms(400)
        gone = rig.absence()
        assert gone.reason is NoDataReason.DISCONNECTED
        assert PORT in gone.detail
        assert not rig.driver.health()[0].online
        assert not rig.plant.out.contactor_closed
        rig.driver.command(CLOSE)  # dropped, must not wait or fail
        await rig.forward_ms(60_000)
        rig.openers.plugged = True
        await rig.forward_ms(6_000)
        assert rig.status().cp is CpState.C
        assert not rig.plant.out.contactor_closed
        await rig.forward_ms(100, BoardCommand())
        await rig.forward_ms(100, CLOSE)
        assert rig.plant.out.contactor_closed

    with_rig(test)


def test_since_of_an_absent_reading_does_not_move_while_the_port_stays_away() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(200)
        rig.unplug()
        await rig.forward_ms(2_000)
        first = rig.absence()
        await rig.forward_ms(20_000)
        assert rig.absence() == first

    with_rig(test)


def test_crc_storm_is_counted_and_makes_the_reading_an_error_and_the_board_open() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        assert rig.openers.faulty is not None
        rig.openers.faulty.rx.corrupt_permille = rig.openers.faulty.tx.corrupt_permille = 1000
        await rig.forward_ms(1_000, CLOSE)
        assert rig.absence().reason is NoDataReason.ERROR
        assert rig.driver.counters.crc_errors + rig.driver.counters.format_errors >= 10
        assert rig.board.frames_bad >= 10
        assert not rig.plant.out.contactor_closed
        rig.openers.faulty.rx.clear()
        rig.openers.faulty.tx.clear()
        await rig.forward_ms(500)
        assert rig.status().cp is CpState.C

    with_rig(test)


def test_every_tenth_frame_broken_neither_opens_nor_loses_the_reading() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        rig.board.faults.crc_error_permille = 100
        for _ in range(200):
            await rig.forward_ms(50, CLOSE)
            assert rig.plant.out.contactor_closed
            assert rig.status().cp is CpState.C
        assert rig.driver.counters.crc_errors > 0

    with_rig(test)


def test_slow_board_is_a_timeout_after_three_heartbeats() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(200)
        rig.status()
        rig.board.faults.status_period_ms = 600
        await rig.forward_ms(250)
        rig.status()
        await rig.forward_ms(150)
        late = rig.absence()
        assert late.reason is NoDataReason.TIMEOUT
        assert PORT in late.detail
        assert "300 ms" in late.detail
        rig.board.faults.status_period_ms = 50
        await rig.forward_ms(600)
        rig.status()

    with_rig(test)


def test_hung_board_opens_by_itself_and_the_driver_reopens_the_port() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        rig.board.faults.silent = True
        await rig.forward_ms(350, CLOSE)
        assert not rig.plant.out.contactor_closed
        assert rig.absence().reason is NoDataReason.TIMEOUT
        await rig.forward_ms(10_000, CLOSE)
        assert rig.openers.opened >= 2
        assert rig.absence().reason is NoDataReason.DISCONNECTED
        rig.board.faults.silent = False
        await rig.forward_ms(6_000)
        rig.status()

    with_rig(test)


def test_reboot_opens_at_once_and_the_link_comes_back_with_hello_and_a_lease_that_must_be_asked_for_anew() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        boots = rig.driver.counters.reboots
        rig.board.reboot(rig.clock.now(), silent_ms=1_000)
        assert not rig.plant.out.contactor_closed
        await rig.forward_ms(400, CLOSE)
        assert rig.absence().reason is NoDataReason.TIMEOUT
        await rig.forward_ms(1_000)
        assert rig.status().cp is CpState.C
        assert rig.driver.counters.reboots == boots + 1
        assert not rig.plant.out.contactor_closed

    with_rig(test)


def test_fast_reboot_between_two_frames_is_noticed() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(2_000)
        rig.board.reboot(rig.clock.now(), silent_ms=1)
        await rig.forward_ms(500)
        assert rig.driver.counters.reboots == 1
        rig.status()

    with_rig(test)


def test_frozen_values_keep_coming_as_fresh_frames() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(200)
        rig.board.faults.frozen = True
        await rig.forward_ms(100)
        rig.plant.cp = CpState.B
        await rig.forward_ms(500)
        assert rig.status().cp is CpState.A
        rig.board.faults.frozen = False
        await rig.forward_ms(100)
        assert rig.status().cp is CpState.B

    with_rig(test)


def test_a_delayed_board_is_still_read() -> None:
    async def test(rig: Rig) -> None:
        rig.board.faults.delay_ms = 120
        await rig.forward_ms(800)
        rig.plant.cp = CpState.B
        await rig.forward_ms(100)
        assert rig.status().cp is CpState.A
        await rig.forward_ms(150)
        assert rig.status().cp is CpState.B

    with_rig(test)


def test_version_mismatch_is_an_error_that_names_both_versions_and_sends_no_command() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(3_000)
        no = rig.absence()
        assert no.reason is NoDataReason.ERROR
        assert "versions 2..3, this controller 1" in no.detail
        assert "update the controller" in no.detail
        rig.driver.command(CLOSE)
        await rig.forward_ms(100)
        assert not rig.plant.out.permit
        rig.board.versions = (1, 3)
        await rig.forward_ms(12_000)
        rig.status()

    with_rig(test, versions=(2, 3))


def test_repeated_command_frame_does_not_renew_the_lease() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        line = rig.openers.line
        assert line is not None
        last = next(text for text in reversed(rig.driver.frame_log()) if " > " in text)
        stuck = bytes.fromhex(last.split(" > ")[1]) + b"\0"
        for _ in range(10):
            line.write_now(stuck)
            await rig.forward_ms(50)
        assert not rig.plant.out.contactor_closed

    with_rig(test)


def test_tie_relay_outlives_a_lost_link_by_one_second() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(200)
        await rig.forward_ms(100, BoardCommand(tie_close=True))
        rig.unplug()
        await rig.forward_ms(1_100)
        assert rig.plant.out.tie_closed
        await rig.forward_ms(250)
        assert not rig.plant.out.tie_closed

    with_rig(test)


def test_reset_is_refused_while_closed_and_done_when_open() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        assert rig.driver.reset_board()
        await rig.forward_ms(100, CLOSE)
        assert rig.plant.out.contactor_closed
        assert any("refused message 0x15: not now" in text for _, text in rig.driver.events)
        await rig.forward_ms(100, BoardCommand())
        assert rig.driver.reset_board()
        await rig.forward_ms(3_000)
        assert rig.board.boots == 2
        rig.status()

    with_rig(test)


def test_diagnostics_answer_and_frame_log_is_bounded() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(200)
        assert rig.driver.request_diagnostics()
        await rig.forward_ms(100)
        assert rig.driver.diagnostics is not None
        assert rig.driver.diagnostics.boots == 1
        await rig.forward_ms(15_000)
        assert len(rig.driver.frame_log()) == 200
        assert rig.driver.frame_log()[-1].split()[1] in "<>"

    with_rig(test)


def test_level_that_does_not_fit_its_field_is_our_bug() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(200)
        with pytest.raises(BugError, match="does not fit"):
            rig.driver.command(BoardCommand(offered_w=1 << 40))

    with_rig(test)


def test_frozen_line_loses_the_lease_and_a_burst_of_old_commands_does_not_close_again() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        assert rig.openers.faulty is not None
        rig.openers.faulty.freeze()
        await rig.forward_ms(600, CLOSE)
        assert not rig.plant.out.contactor_closed
        rig.openers.faulty.thaw()
        await rig.forward_ms(300, CLOSE)
        assert not rig.plant.out.contactor_closed
        rig.status()

    with_rig(test)


def test_stopping_the_driver_takes_the_energy_away_before_the_port_closes() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        rig.tasks[0].cancel()
        await asyncio.sleep(0.001)
        assert not rig.plant.out.contactor_closed
        assert not rig.plant.out.permit

    with_rig(test)


def test_any_garbage_on_the_line_neither_stops_the_driver_nor_makes_a_reading() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(200)
        rig.board.faults.silent = True
        noise = random.Random(11)
        await rig.forward_ms(400)
        for _ in range(300):
            line = rig.openers.line
            assert line is not None
            assert line.peer is not None
            with contextlib.suppress(DeviceError):  # the driver reopens a dead line now and then
                line.peer.write_now(noise.randbytes(noise.randrange(1, 600)))
            await rig.forward_ms(50)
            rig.absence()
        assert rig.driver.counters.format_errors > 100
        assert not rig.tasks[0].done()
        rig.board.faults.silent = False
        await rig.forward_ms(6_000)
        rig.status()

    with_rig(test)


def test_a_bad_line_with_every_fault_at_once_recovers_by_itself() -> None:
    async def test(rig: Rig) -> None:
        await rig.energise()
        assert rig.openers.faulty is not None
        for side in (rig.openers.faulty.rx, rig.openers.faulty.tx):
            side.drop_permille = side.corrupt_permille = side.duplicate_permille = side.truncate_permille = 100
            side.jitter_ms = 20
        for _ in range(400):
            await rig.forward_ms(50, CLOSE)
            rig.driver.reading()
            assert not rig.tasks[0].done()
        rig.openers.faulty.rx.clear()
        rig.openers.faulty.tx.clear()
        await rig.forward_ms(1_000, BoardCommand())
        await rig.forward_ms(200, CLOSE)
        assert rig.plant.out.contactor_closed
        rig.status()

    with_rig(test)
