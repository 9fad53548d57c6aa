"""What the board of an AC EVSE is told about ISO 15118, and what people ask of a session.

Sources: Charge Control C, 15.4 (EVSEProcessing: "Finished" once the limits are known), 15.9 (stop), 15.11 (renegotiation), 15.12
(pause) and 15.21 (reinit). Currents are mA per phase; `BoardCommand.offered_ma` is EVSEMaxCurrent and ``offered_w`` the schedule.
"""

from __future__ import annotations

import msgspec

from evse.core.ac import cp, fake_dc, hlc, proximity
from evse.core.ac.memory import HlcStage
from evse.core.context import Conn, Tick
from evse.core.inputs import HlcRequest
from evse.core.release import refuse
from evse.core.state import AuthState
from evse.domain.ac import HlcMode, V2gPhase
from evse.domain.signals import Authorization
from evse.domain.view_ac import HlcView
from evse.units import s

PARAM_LIMIT = s(50)
"""Then the parameters are finished even with an offer of nothing: the vehicle gives up after 60 s of "Ongoing"."""

REQUESTS = ("renegotiate", "pause", "resume", "reinit")


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """What the board is told on this tick."""

    mode: HlcMode = HlcMode.OFF
    authorization: Authorization = Authorization.NONE
    parameter_finished: bool = False
    renegotiate: bool = False
    pause: bool = False
    stop: bool = False
    restart_slac: bool = False
    switch_method: int = 0  # 1..4 with fake DC


def levels(t: Tick, conn: Conn) -> Levels:
    """Return what the board is told; the limits of this tick are known. All off while nothing digital is wanted."""
    a, w, spec = conn.a, conn.w, conn.ac
    if a.hlc_stage not in hlc.DIGITAL or conn.blocked or not conn.operative:
        return Levels()
    fake = spec.hlc is HlcMode.FAKE_DC
    authorization = Authorization.NONE
    if fake or (w.tx_open and not w.settle_at):  # a fake DC session ends before any energy
        authorization = Authorization.GRANTED
    elif w.auth is not AuthState.NONE:
        authorization = Authorization.ONGOING
    vendor = fake_dc.vendor_of(spec.fake_dc_vendors, conn.b.evcc_id) if fake and conn.b is not None else None
    held = hlc.held(conn) and w.stage not in hlc.ENDING
    return Levels(
        mode=spec.hlc,
        authorization=authorization,
        parameter_finished=_parameter_finished(t, conn),
        renegotiate=_renegotiates(t, conn),
        pause=held and not fake,
        stop=a.hlc_stage is HlcStage.CLOSING and (fake or not held),
        restart_slac=t.now < a.hlc_restart_until,
        switch_method=vendor.switch_method if vendor is not None else 0,
    )


def _parameter_finished(t: Tick, conn: Conn) -> bool:
    """EVSEProcessing Finished: the limits are known, one tick after the vehicle has told its own."""
    a, w = conn.a, conn.w
    if a.hlc_stage is not HlcStage.SESSION or not w.tx_open or not a.hlc_param_at or t.now <= a.hlc_param_at:
        return False
    known = w.offered_ma >= cp.MIN_MA and proximity.cable_ma(conn) is not None
    if a.hlc_told_ma < 0 and (known or t.now - a.hlc_param_at >= PARAM_LIMIT):
        a.hlc_told_ma = w.offered_ma
    return a.hlc_told_ma >= 0


def _renegotiates(t: Tick, conn: Conn) -> bool:
    a = conn.a
    charges = a.hlc_stage is HlcStage.SESSION and conn.ab.v2g.phase is V2gPhase.CHARGE
    return charges and t.now < a.hlc_ask_until


def request(t: Tick, conn: Conn, c: HlcRequest) -> None:
    """Carry out a wish of an operator or another program, or refuse it with the reason."""
    a = conn.a
    why = _refused(conn, c.what)
    if why:
        refuse(t, c.evse_id, "hlc", c.seq, why)
        return
    if c.what == "renegotiate":
        a.hlc_ask_until = t.now + hlc.ASK_LIMIT
    elif c.what == "pause":
        a.hlc_pause = True
    elif c.what == "resume":
        a.hlc_again = a.hlc_again or a.hlc_stage is HlcStage.PAUSED
        a.hlc_pause = False
    else:
        a.hlc_again = True
    t.event("hlc.requested", c.evse_id, what=c.what)


def _refused(conn: Conn, what: str) -> str:
    a, mode = conn.a, conn.ac.hlc
    if mode is HlcMode.OFF:
        return "digital communication is switched off (evse.ac.hlc)"
    if what not in REQUESTS:
        return f"{what[:20]!r} is not known; accepted: {', '.join(REQUESTS)}"
    if a.hlc_stage is HlcStage.IDLE:
        return "no vehicle is plugged in"
    if what == "reinit":
        again = a.hlc_stage in (HlcStage.BASIC, HlcStage.REFUSED)
        return "" if again else f"digital communication is under way ({a.hlc_stage.value}); nothing to begin anew"
    if what == "resume":
        return "" if a.hlc_pause or a.hlc_stage is HlcStage.PAUSED else "the session is not paused"
    if mode is HlcMode.FAKE_DC or a.hlc_stage is not HlcStage.SESSION:
        return "the vehicle is in no ISO 15118 session"
    if what == "renegotiate" and conn.ab.v2g.phase is not V2gPhase.CHARGE:
        return f"the vehicle is in phase {conn.ab.v2g.phase.value}; it renegotiates while it charges"
    return ""


def view(conn: Conn) -> HlcView | None:
    """Return digital communication as people see it; None = switched off."""
    a = conn.a
    if conn.ac.hlc is HlcMode.OFF:
        return None
    return HlcView(
        stage=a.hlc_stage.value,
        soc=a.hlc_soc,
        soc_at=a.hlc_soc_at,
        vendor=a.hlc_vendor,
        departure_at=a.hlc_departure_at,
        energy_request_wh=a.hlc_energy_wh,
        schedule_ma=a.hlc_told_ma if a.hlc_told_ma >= 0 else None,
        failed=a.hlc_fault,
    )
