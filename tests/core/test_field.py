"""Lost field devices become the fault that says what is lost; a meter is told apart by what its driver knows."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from evse.core import field
from evse.core.inputs import EvseInputs, Inputs, LostDevice
from evse.domain.faults import FaultCode
from evse.domain.readings import MeterValues, NoData, NoDataReason, Sample
from evse.domain.station import EvseKind, StationSpec
from evse.units import NS_PER_S
from tests.core.ac.bench import Bench, spec_of


class Field(Bench):
    """An AC bench with lost devices and meters that are lost for a reason."""

    def __init__(self, spec: StationSpec) -> None:
        super().__init__(spec)
        self.lost: tuple[LostDevice, ...] = ()
        self.why: NoDataReason | None = None

    def inputs(self) -> Inputs:
        given = super().inputs()
        evses = tuple(
            EvseInputs(
                evse_id=e.evse_id,
                board=e.board,
                meter=NoData(reason=self.why, since=0, detail="meter[sdm630@/dev/ttyS1#3]")
                if self.why is not None
                else Sample(value=MeterValues(energy_import_wh=5), at=self.now),
            )
            for e in given.evses
        )
        return replace(given, lost=self.lost, evses=evses)


def metered(*, n: int = 1, kind: EvseKind = EvseKind.AC) -> Field:
    return Field(spec_of(n=n, evse={"has_meter": True}) if kind is EvseKind.AC else _dc())


def _dc() -> StationSpec:
    ac = spec_of(evse={"has_meter": True})
    return replace(ac, evses=tuple(replace(e, kind=EvseKind.DC, ac=None) for e in ac.evses))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("reader", FaultCode.READER_FAILURE),
        ("recloser", FaultCode.RCD_RECLOSER_FAILURE),
        ("io", FaultCode.IO_LOST),
    ],
)
def test_a_lost_device_is_a_fault_of_those_it_serves(kind: str, code: FaultCode) -> None:
    bench = metered(n=3)
    bench.lost = (LostDevice(kind=kind, name="front", evse_ids=(1, 3), detail="no answer for 10 s" + "x" * 400),)
    bench.step(field.causes)
    assert [list(bench.causes[i]) for i in (1, 2, 3)] == [[code], [], [code]]
    assert bench.causes[1][code].startswith(f"{kind} front: no answer for 10 s") and len(bench.causes[1][code]) == 200
    bench.lost = ()
    bench.step(field.causes)
    assert bench.causes[1] == {}


def test_a_kind_that_nobody_knows_is_no_fault() -> None:
    bench = metered()
    bench.lost = (LostDevice(kind="toaster", name="t", evse_ids=(1,)),)
    bench.step(field.causes)
    assert bench.causes[1] == {}


@pytest.mark.parametrize(
    ("why", "code"),
    [
        (NoDataReason.TIMEOUT, FaultCode.METER_COMMUNICATION),
        (NoDataReason.NEVER, FaultCode.METER_COMMUNICATION),
        (NoDataReason.GARBLED, FaultCode.METER_COMMUNICATION),
        (NoDataReason.ERROR, FaultCode.METER_INTERNAL),
        (NoDataReason.DISCONNECTED, FaultCode.METER_IDLE_ERROR),
    ],
)
def test_why_the_meter_of_an_ac_evse_is_lost(why: NoDataReason, code: FaultCode) -> None:
    bench = metered()
    bench.step(field.causes)
    bench.why = why
    bench.step(field.causes, dt=6 * NS_PER_S)
    assert list(bench.causes[1]) == [code]
    assert "meter[sdm630@/dev/ttyS1#3]" in bench.causes[1][code]


def test_a_line_that_goes_during_a_session_stays_an_active_error_after_it() -> None:
    bench = metered()
    bench.step(field.causes)
    bench.work(tx_open=True)
    bench.why = NoDataReason.DISCONNECTED
    bench.step(field.causes, dt=6 * NS_PER_S)
    assert list(bench.causes[1]) == [FaultCode.METER_ACTIVE_ERROR]
    bench.fault(FaultCode.METER_ACTIVE_ERROR)
    bench.work(tx_open=False)
    bench.step(field.causes)
    assert list(bench.causes[1]) == [FaultCode.METER_ACTIVE_ERROR]


def test_a_pulled_adapter_has_five_seconds_to_come_back() -> None:
    bench = metered()
    bench.step(field.causes)
    bench.why = NoDataReason.DISCONNECTED
    bench.step(field.causes, dt=4 * NS_PER_S)
    assert bench.causes[1] == {}
    bench.step(field.causes, dt=2 * NS_PER_S)
    assert list(bench.causes[1]) == [FaultCode.METER_IDLE_ERROR]


@pytest.mark.parametrize("why", [NoDataReason.TIMEOUT, NoDataReason.ERROR, NoDataReason.DISCONNECTED])
def test_dc_has_one_fault_for_all(why: NoDataReason) -> None:
    bench = metered(kind=EvseKind.DC)
    bench.step(field.causes)
    bench.why = why
    bench.step(field.causes, dt=6 * NS_PER_S)
    assert list(bench.causes[1]) == [FaultCode.METER_LOST]
