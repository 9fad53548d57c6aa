"""What may be done to an AC connector: each asks first, says what is lost, and names the command that does the same."""

from __future__ import annotations

from evse.api.models import EvseRef
from evse.api.models_ac import PhaseSet, UnlockRequest
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView
from tui import format as fmt
from tui.admin.section import SectionScreen
from tui.words import energy_flows


def loses(view: EvseView) -> str:
    """What a stop costs now."""
    if view.session is None or view.session.ended_at is not None or not energy_flows(view):
        return "No session is running."
    soc = f" at {view.soc_pct} %" if view.soc_pct is not None else ""
    return f"Charging with {fmt.kw(view.power_w)} kW{soc} ends; {fmt.kwh(view.session.energy_wh)} kWh delivered so far."


def pause_or_allow(screen: SectionScreen, view: EvseView, ac: AcView) -> None:
    """Pause a connector that may offer current; let a paused one go on (severe: the number must be typed)."""
    number, request, call = view.evse_id, EvseRef(evse_id=view.evse_id), screen.admin.store.call
    if ac.allowed:
        screen.confirm(
            "Pause", f"Pause connector {number}",
            ["The vehicle is offered nothing until it is allowed again.", "The session stays open; nobody has to plug in again."],
            lambda: call("connector.pause", request), done=f"Connector {number}: paused",
            cli=f"evsectl connector pause {number} --accept-risk=stop-charging",
        )  # fmt: skip
    else:
        screen.confirm(
            "Allow", f"Let connector {number} go on",
            ["It offers current again.", "A vehicle with a permission is energised." if view.plugged else "No vehicle is plugged in."],
            lambda: call("connector.allow", request), done=f"Connector {number}: allowed", type_this=str(number),
            cli=f"evsectl connector allow {number} --accept-risk=energise",
        )  # fmt: skip


def hold_or_lock(screen: SectionScreen, view: EvseView, ac: AcView) -> None:
    """Keep the plug unlocked until it is out, or end that."""
    number, call = view.evse_id, screen.admin.store.call
    if ac.lock is None:
        screen.refuse(f"Connector {number} has no plug lock")
    elif ac.lock.forced:
        screen.confirm(
            "Lock", f"End the held unlocking of connector {number}",
            ["The lock follows the session again."],
            lambda: call("lock.lock", EvseRef(evse_id=number)), done=f"Connector {number}: the lock follows the session",
            cli=f"evsectl lock lock {number}",
        )  # fmt: skip
    elif ac.lock.mode == "remote" and not ac.lock.commanded:
        screen.confirm(
            "Lock", f"Lock the plug of connector {number}",
            ["It stays locked until somebody unlocks it, also after a session."],
            lambda: call("lock.lock", EvseRef(evse_id=number)), done=f"Connector {number}: locking",
            cli=f"evsectl lock lock {number}",
        )  # fmt: skip
    else:
        screen.confirm(
            "Hold", f"Unlock connector {number} and hold",
            [loses(view), "It stays unlocked until the plug is out; the plug can be taken by anybody."],
            lambda: call("lock.unlock", UnlockRequest(evse_id=number, hold=True)),
            done=f"Connector {number}: unlocked until the plug is out",
            cli=f"evsectl lock unlock {number} --hold --accept-risk=stop-charging",
        )  # fmt: skip


def test_rcd(screen: SectionScreen, view: EvseView, ac: AcView) -> None:
    """Run the self-test of the residual current monitor."""
    number = view.evse_id
    if ac.rcd is None or not ac.rcd.testable:
        screen.refuse(f"Connector {number} has no residual current monitor with a test output")
        return
    screen.confirm(
        "Test", f"Test the residual current monitor of connector {number}",
        ["The contactor stays open meanwhile, a few seconds.", "A failed test takes the connector out of use until one passes."],
        lambda: screen.admin.store.call("rcd.test", EvseRef(evse_id=number)), done=f"Connector {number}: self-test asked for",
        cli=f"evsectl rcd test {number}",
    )  # fmt: skip


def switch_phases(screen: SectionScreen, view: EvseView, ac: AcView) -> None:
    """From three phases to one, or back."""
    number = view.evse_id
    if not ac.phase_switch:
        screen.refuse(f"Connector {number} has no second contactor: {ac.phases_wired} phases are wired")
        return
    phases = PhaseSet(evse_id=number, phases=1 if ac.phases_next == 3 else 3)
    name = "one phase" if phases.phases == 1 else "three phases"
    running = energy_flows(view)
    lines = [
        "The session is paused for the configured delay and goes on by itself." if running else "No session is running.",
        f"Vehicles then charge with {name}.",
    ]
    screen.confirm(
        "Switch", f"Switch connector {number} to {name}", lines,
        lambda: screen.admin.store.call("phase.set", phases), done=f"Connector {number}: switches to {name}",
        cli=f"evsectl phase set {number} {phases.phases}",
    )  # fmt: skip
