"""The AC detail of the section Connectors: pilot, offer, phases, relays, lock, residual current, ISO 15118, inputs."""

from __future__ import annotations

from typing import Final

from evse.domain.ac import V2gError, V2gPhase
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView, LockView, RcdView, VentilationView
from evse.units import WallNs
from tui import format as fmt
from tui.driver.glyphs import Glyphs
from tui.widgets.frame import Frame
from tui.widgets.parts import values
from tui.words import AUTH_SOURCES, REASONS, in_service, plain, waits_for

PILOT: Final[dict[str, str]] = {
    "A": "no vehicle",
    "B": "vehicle, no energy",
    "C": "wants energy",
    "D": "energy and air",
    "E": "short or no power",
    "F": "not available",
    "?": "unknown",
}
"""IEC 61851-1 states of the control pilot."""

DIGITAL_BP: Final = 500
"""5 %: the vehicle is to talk digitally."""

LOCK: Final[dict[str, str]] = {
    "unknown": "unknown",
    "open": "open",
    "locking": "locking",
    "locked": "locked",
    "unlocking": "unlocking",
    "back_to_open": "locking again",
    "back_to_locked": "unlocking again",
    "cannot_lock": "CANNOT LOCK",
    "cannot_unlock": "CANNOT UNLOCK",
}
RELEASE: Final[dict[str, str]] = {
    "free": "free charging",
    "list": "white list",
    "ocpp": "back end",
    "remote": "program or rule",
    "modbus": "Modbus",
    "mqtt": "MQTT",
    "key_switch": "key switch",
    "dashboard": "operator",
}
"""Who decides about the permission."""

HLC: Final[dict[str, str]] = {"off": "off", "optional": "optional", "required": "required", "fake_dc": "fake DC"}
ROWS_SHORT: Final = 8
"""Rows of each side when a list stands above."""


def pilot_name(ac: AcView) -> str:
    """``C2``: the state, 1 without and 2 with PWM."""
    if ac.pilot not in {"A", "B", "C", "D"}:
        return ac.pilot
    return f"{ac.pilot}{2 if ac.pilot_mode == 'pwm' else 1}"


def duty_word(ac: AcView) -> str:
    """``26.7 %``, ``5 % digital``, ``steady +12 V``."""
    if ac.duty_bp is None:
        return fmt.NONE
    if ac.pilot_mode == "pwm":
        return "5 %, digital" if ac.duty_bp == DIGITAL_BP else f"{ac.duty_bp / 100:.1f} %"
    return {"x1": "steady +12 V", "F": "steady -12 V", "E": "0 V, wakes up"}.get(ac.pilot_mode, fmt.NONE)


def phases_word(ac: AcView) -> str:
    """``3 of 3``, ``off, next 1 of 3``, ``switching to 1 of 3``."""
    if ac.phases_switching:
        return f"switching to {ac.phases_next} of {ac.phases_wired}"
    return f"{ac.phases} of {ac.phases_wired}" if ac.phases else f"off, next {ac.phases_next} of {ac.phases_wired}"


def cable_word(view: EvseView, ac: AcView) -> str:
    """Rating, and whose it is."""
    amps = fmt.with_unit(fmt.ampere(ac.cable_ma), "A")
    if not ac.socket:
        return f"fixed, {amps}"
    return f"plug for {amps}" if ac.cable_ma else "NOT VALID" if view.plugged else "socket is empty"


def lock_word(lock: LockView | None) -> str:
    """Stage, and who holds it."""
    if lock is None:
        return "not fitted"
    word = LOCK.get(lock.stage, plain(lock.stage))
    return f"{word}, HELD OPEN" if lock.forced else f"{word}, held for owner" if lock.held else word


def rcd_word(rcd: RcdView | None) -> str:
    """State of the residual current monitor."""
    if rcd is None:
        return "not fitted"
    word = {"normal": "normal", "tripped": "TRIPPED"}.get(rcd.state, rcd.state)
    return f"{word}, test runs" if rcd.testing else word


def test_word(rcd: RcdView | None) -> str:
    """Result and time of the last self-test."""
    if rcd is None or not rcd.testable:
        return "no test output" if rcd is not None else fmt.NONE
    if rcd.passed is None:
        return "none since start"
    return f"{'passed' if rcd.passed else 'FAILED'} {fmt.day_time(rcd.tested_at)}"


def ventilation_word(ventilation: VentilationView | None) -> str:
    """What it does, and whether the vehicle asks."""
    if ventilation is None:
        return "not fitted"
    word = "running" if ventilation.running else "on, not confirmed" if ventilation.on else "off"
    if not ventilation.available:
        word = "not available"
    return f"{word}, asked for" if ventilation.asked else word


def v2g_word(ac: AcView) -> str:
    """Mode of digital communication and its phase."""
    mode, v2g = HLC.get(ac.hlc, plain(ac.hlc)), ac.v2g
    if v2g is None:
        return mode
    if v2g.error is not V2gError.NONE:
        return plain(v2g.error.value)
    if v2g.phase is V2gPhase.NONE:
        stage = ac.hlc_session.stage if ac.hlc_session is not None else ""
        return f"{mode}, {stage}" if stage in {"basic", "refused", "paused"} else f"{mode}, no session"
    more = ", paused" if v2g.paused else ", renegotiates" if v2g.renegotiating else ""
    return f"{v2g.phase.value} {'finished' if v2g.finished else 'started'}{more}"


def bits_word(levels: tuple[bool, ...]) -> str:
    """``1 0 0 1``, the first is number 1."""
    return " ".join("1" if level else "0" for level in levels) or "none"


def _tri(value: bool | None, yes: str, no: str) -> str:
    return fmt.NONE if value is None else yes if value else no


def _three(values_: tuple[int, int, int] | None, tenths: bool) -> str:
    if values_ is None:
        return fmt.NONE
    return " ".join(fmt.tenths(x) if tenths else fmt.volt(x) for x in values_)


def left_rows(view: EvseView, ac: AcView, now: WallNs) -> list[tuple[str, str]]:
    """Pilot and power first, then the session."""
    record = view.session
    started = (record.started_at or record.plugged_at) if record else None
    return [
        ("Pilot", f"{pilot_name(ac)} {PILOT.get(ac.pilot, '')}".rstrip()),
        ("Pilot duty", duty_word(ac)),
        ("Offered / physical A", f"{fmt.tenths(ac.offered_ma)} / {fmt.tenths(ac.physical_ma)}"),
        ("Phases", phases_word(ac)),
        ("L1 L2 L3 A", _three(ac.current_l_ma, tenths=True)),
        ("L1 L2 L3 V", _three(ac.voltage_l_mv, tenths=False)),
        ("Cable", cable_word(view, ac)),
        ("Started / elapsed", f"{fmt.time_of_day(started)} / {fmt.duration(fmt.between(started, now))}"),
        ("kWh / meter start", f"{fmt.kwh(record.energy_wh if record else None)} / {fmt.kwh(record.meter_start_wh if record else None)}"),
        ("Identity", record.id_token if record and record.id_token else fmt.NONE),
        ("Vehicle", record.evcc_id if record and record.evcc_id else fmt.NONE),
        ("Transaction", str(record.transaction_id) if record and record.transaction_id is not None else fmt.NONE),
        ("Stop reason", REASONS[view.stop_reason] if view.stop_reason else fmt.NONE),
        *([("Phases, why", ac.phase_choice)] if ac.phase_choice else []),
    ]  # fmt: skip


def right_rows(view: EvseView, ac: AcView, glyphs: Glyphs) -> list[tuple[str, str]]:
    """Permission and parts first, then what is asked for less often."""
    record, lock, rcd = view.session, ac.lock, ac.rcd
    contactor = _tri(view.contactor_closed, "closed", "open")
    if ac.phase_switch:
        contactor += f", second {_tri(ac.contactor2_closed, 'closed', 'open')}"
    motor = fmt.NONE if lock is None else lock.motor or lock.mode
    if lock is not None and lock.charged is False:
        motor += ", NOT CHARGED"
    residual = fmt.NONE if rcd is None else f"{fmt.milliamp(rcd.residual_dc_ua)} / {fmt.milliamp(rcd.residual_rms_ua)}"
    rotary = "none" if ac.rotary is None else str(ac.rotary)
    return [
        ("Authorisation", view.auth_state + (f" ({AUTH_SOURCES[record.auth_source]})" if record else "")),
        ("Contactor", contactor),
        ("Plug lock", lock_word(lock)),
        ("Residual current", rcd_word(rcd)),
        ("Self-test", test_word(rcd)),
        ("Ventilation", ventilation_word(ac.ventilation)),
        ("ISO 15118", v2g_word(ac)),
        (f"Inputs 1-{len(ac.inputs)}" if ac.inputs else "Inputs", bits_word(ac.inputs)),
        ("Permission by / external", f"{RELEASE.get(ac.release, plain(ac.release))} / {'go' if ac.allowed else 'PAUSED'}"),
        ("Lock motor", motor),
        ("Residual DC / RMS mA", residual),
        (f"Board {glyphs.degree}C / rotary switch", f"{fmt.celsius(view.temperature_dc)} / {rotary}"),
        ("In service CSMS / local", in_service(view)),
    ]


def paint_ac(frame: Frame, view: EvseView, ac: AcView, y: int, now: WallNs, glyphs: Glyphs) -> int:
    """Paint title and both columns, as many rows as there is room beside the limits; returns the next row."""
    half, waits = frame.width // 2, waits_for(view)
    x = frame.put(1, y, f"Connector {view.evse_id}", "title")
    if waits:
        frame.put(x + 2, y, f"waits for: {waits}", "warn", limit=frame.width - x - 3)
    elif rcd_failed(ac):
        frame.put(x + 2, y, f"self-test: {rcd_failed(ac)}", "fault", limit=frame.width - x - 3)
    left, right = left_rows(view, ac, now), right_rows(view, ac, glyphs)
    limits = len(view.limits) + len(view.faults)
    rows = max(ROWS_SHORT, min(len(left), frame.height - y - 2 - min(limits, 5)))
    values(frame, 1, y + 1, half - 3, left[:rows])
    return values(frame, half, y + 1, frame.width - half - 1, right[:rows])


def rcd_failed(ac: AcView) -> str:
    """Why the last self-test failed; "" = it did not."""
    return ac.rcd.failed if ac.rcd is not None and ac.rcd.passed is False else ""
