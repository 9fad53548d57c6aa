"""``evsectl lock``, ``rcd``, ``phase``, ``hlc`` and ``ventilation``: the parts of an AC connector."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from evsectl import exits, reads, tables_ac
from evsectl.diagnostics import Abort, usage
from evsectl.options import AcceptRisk, Call, EvseId, Wait, confirm, data
from evsectl.output import emit

POLL_S = 0.25


def _noun(help_: str) -> typer.Typer:
    return typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help=help_)


app = typer.Typer(add_completion=False, rich_markup_mode=None)
lock = _noun("Plug locks.")
rcd = _noun("Residual current monitors.")
phase = _noun("Phases: how many a vehicle gets.")
hlc = _noun("Digital communication with AC vehicles.")
ventilation = _noun("Ventilation for vehicles that ask for it.")
for name, noun in (("lock", lock), ("rcd", rcd), ("phase", phase), ("hlc", hlc), ("ventilation", ventilation)):
    app.add_typer(noun, name=name)

Which = Annotated[
    int, typer.Argument(help="Connector number; without it all", metavar="[ID]", min=0, max=48)
]
EMPTY = "This station has no AC connectors."

# -- lock ---------------------------------------------------------------------------------------------------------


@data(lock, "Lock", key="evse_id")
def status(call: Call, connector: Which = 0) -> int:
    """Show the plug locks."""
    items = call.ask("lock.status", evse_id=connector)["items"]
    emit("Lock", items, tables_ac.LOCK, call.options, name="evse_id", empty=EMPTY)
    return exits.OK


@data(lock, "Done")
def unlock(
    call: Call,
    evse_id: EvseId,
    hold: Annotated[bool, typer.Option("--hold", help="Stay unlocked until the plug is out")] = False,
    accept_risk: AcceptRisk = "",
) -> int:
    """Stop charging and unlock."""
    confirm(
        f"Unlock connector {evse_id}?",
        lambda: ["a running session ends; the plug is released when there is no current"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    body = call.ask("lock.unlock", evse_id=evse_id, hold=hold)
    until = " until the plug is out" if hold else ""
    return call.done(body, f"connector {evse_id}: unlocking{until}")


@data(lock, "Done", "lock")
def lock_(call: Call, evse_id: EvseId) -> int:
    """End a held unlocking; in lock mode remote, lock the plug."""
    body = call.ask("lock.lock", evse_id=evse_id)
    return call.done(body, body["detail"] or f"connector {evse_id}: the lock follows the session again")


# -- residual current ---------------------------------------------------------------------------------------------


@data(rcd, "Rcd", "status", key="evse_id")
def rcd_status(call: Call, connector: Which = 0) -> int:
    """Show the monitors; exit 10 when one has tripped."""
    items = call.ask("rcd.status", evse_id=connector)["items"]
    emit("Rcd", items, tables_ac.RCD, call.options, name="evse_id", empty=EMPTY)
    bad = [r for r in items if r["fitted"] and (r["rcd"]["state"] != "normal" or r["rcd"]["passed"] is False)]
    return exits.DEVICE if any(not r["rcd"]["testing"] for r in bad) else exits.OK


@data(rcd, "Done")
def test(call: Call, evse_id: EvseId, wait: Wait = "") -> int:
    """Run the self-test; with --wait exit 10 when it fails."""
    limit_s = reads.seconds(wait) if wait else None
    before = _monitor(call, evse_id)["tested_at"] if limit_s is not None else None
    body = call.ask("rcd.test", evse_id=evse_id)
    if limit_s is None:
        return call.done(body, f"connector {evse_id}: the test runs; its result: evsectl rcd status {evse_id}")
    rcd_now = wait_test(lambda: _monitor(call, evse_id), before, limit_s)
    if rcd_now is None:
        hint = f"it waits for an open contactor and a normal monitor: evsectl rcd status {evse_id}"
        raise Abort(exits.TIMEOUT, f"connector {evse_id}: no result of the test within {limit_s:g} s", hint, "timeout")
    if not rcd_now["passed"]:
        hint = "no vehicle is charged here until it passes: evsectl fault explain RcdTest"
        raise Abort(exits.DEVICE, f"connector {evse_id}: the test failed: {rcd_now['failed']}", hint, "device")
    return call.done(body, f"connector {evse_id}: the test has passed")


def _monitor(call: Call, evse_id: int) -> dict[str, Any]:
    row = call.ask("rcd.status", evse_id=evse_id)["items"][0]
    if not row["fitted"]:
        raise Abort(exits.CONFLICT, f"connector {evse_id} has no residual current monitor", "see: evsectl rcd status", "conflict")
    monitor: dict[str, Any] = row["rcd"]
    return monitor


def wait_test(
    look: Callable[[], dict[str, Any]],
    before: int | None,
    limit_s: float,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> dict[str, Any] | None:
    """Return the monitor once a test has ended that was not over at ``before``; None when ``limit_s`` have passed."""
    end = now() + limit_s
    while True:
        found = look()
        if not found["testing"] and found["tested_at"] != before:
            return found
        if now() >= end:
            return None
        pause(POLL_S)


# -- phases -------------------------------------------------------------------------------------------------------


@data(phase, "Phase", key="evse_id")
def show(call: Call, connector: Which = 0) -> int:
    """Show phases in use and possible."""
    items = call.ask("phase.show", evse_id=connector)["items"]
    emit("Phase", items, tables_ac.PHASE, call.options, name="evse_id", empty=EMPTY)
    return exits.OK


@data(phase, "Done", "set")
def set_(
    call: Call,
    evse_id: EvseId,
    phases: Annotated[int, typer.Argument(help="1 or 3", metavar="PHASES", min=1, max=3)],
    delay: Annotated[
        int | None,
        typer.Option("--delay", help="Seconds between off and the new number", min=10, max=300, metavar="S"),
    ] = None,
) -> int:
    """Switch between one and three phases; a session is paused."""
    if phases == 2:
        usage("2 phases cannot be switched", "give 1 or 3")
    body = call.ask("phase.set", evse_id=evse_id, phases=phases, delay_s=delay)
    return call.done(body, f"connector {evse_id}: switching to {phases} phase{'s' if phases > 1 else ''}")


# -- ISO 15118 ----------------------------------------------------------------------------------------------------


@data(hlc, "Hlc", "show", key="evse_id")
def hlc_show(call: Call, connector: Which = 0) -> int:
    """Show ISO 15118 sessions of AC vehicles."""
    items = call.ask("hlc.show", evse_id=connector)["items"]
    emit("Hlc", items, tables_ac.HLC, call.options, name="evse_id", empty=EMPTY)
    return exits.OK


def _request(call: Call, evse_id: int, what: str, text: str) -> int:
    return call.done(call.ask("hlc.request", evse_id=evse_id, what=what), f"connector {evse_id}: {text}")


@data(hlc, "Done")
def renegotiate(call: Call, evse_id: EvseId) -> int:
    """Ask the vehicle to negotiate its schedule again."""
    return _request(call, evse_id, "renegotiate", "the vehicle is asked to renegotiate")


@data(hlc, "Done")
def pause(call: Call, evse_id: EvseId) -> int:
    """Ask the vehicle to pause."""
    return _request(call, evse_id, "pause", "the vehicle is asked to pause")


@data(hlc, "Done")
def resume(call: Call, evse_id: EvseId) -> int:
    """Wake a paused vehicle up."""
    return _request(call, evse_id, "resume", "the vehicle is woken up")


@data(hlc, "Done")
def reinit(call: Call, evse_id: EvseId) -> int:
    """Read MAC and state of charge again (fake DC)."""
    return _request(call, evse_id, "reinit", "the state of charge is read again")


# -- ventilation --------------------------------------------------------------------------------------------------


@data(ventilation, "Ventilation", "show", key="evse_id")
def ventilation_show(call: Call, connector: Which = 0) -> int:
    """Show the ventilation of AC connectors."""
    items = call.ask("ventilation.show", evse_id=connector)["items"]
    emit("Ventilation", items, tables_ac.VENTILATION, call.options, name="evse_id", empty=EMPTY)
    return exits.OK


@data(ventilation, "Done", "set")
def ventilation_set(
    call: Call,
    evse_id: EvseId,
    available: Annotated[
        bool | None, typer.Option("--available/--unavailable", help="Whether there is a ventilation to ask for")
    ] = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Whether it is switched on")] = None,
) -> int:
    """Say what an external ventilation does."""
    if available is None and on is None:
        usage("nothing to set", f"for example: evsectl ventilation set {evse_id} --available")
    body = call.ask("ventilation.set", evse_id=evse_id, available=available, on=on)
    words = [{True: "available", False: "unavailable"}[available]] if available is not None else []
    words += [{True: "on", False: "off"}[on]] if on is not None else []
    return call.done(body, f"connector {evse_id}: ventilation {', '.join(words)}")
