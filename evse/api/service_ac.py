"""The part of the service that is around AC connectors and their field devices."""

from __future__ import annotations

from typing import Protocol

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api.caller import Caller
from evse.api.operation import Empty


class AcService(Protocol):
    """Every operation of `evse.api.operations_ac.OPERATIONS_AC`."""

    async def limits_explain(self, request: ac.AcQuery, caller: Caller) -> ac.LimitsExplanations:
        """Every limit of a connector and which one binds."""
        ...

    async def limits_list(self, request: ac.AcQuery, caller: Caller) -> ac.DynamicLimits:
        """Named current limits of other programs."""
        ...

    async def limits_set(self, request: ac.LimitSet, caller: Caller) -> m.Done:
        """Set a named current limit; lost at a restart."""
        ...

    async def limits_clear(self, request: ac.LimitRef, caller: Caller) -> m.Done:
        """Remove a named current limit."""
        ...

    async def connector_allow(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Let a paused AC connector go on."""
        ...

    async def connector_pause(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Pause an AC connector without ending its session."""
        ...

    async def connector_release(self, request: ac.PermissionRequest, caller: Caller) -> m.Done:
        """Give permission to charge (release mode dashboard)."""
        ...

    async def connector_withdraw(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Take the permission to charge back (release mode dashboard)."""
        ...

    async def lock_status(self, request: ac.AcQuery, caller: Caller) -> ac.Locks:
        """Plug locks."""
        ...

    async def lock_unlock(self, request: ac.UnlockRequest, caller: Caller) -> m.Done:
        """Stop charging and unlock; with hold until the plug is out."""
        ...

    async def lock_lock(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """End a held unlocking: the lock follows the session again."""
        ...

    async def rcd_status(self, request: ac.AcQuery, caller: Caller) -> ac.Rcds:
        """Residual current monitors and their last test."""
        ...

    async def rcd_test(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Run the self-test of a residual current monitor."""
        ...

    async def phase_show(self, request: ac.AcQuery, caller: Caller) -> ac.Phases:
        """Phases in use and possible."""
        ...

    async def phase_set(self, request: ac.PhaseSet, caller: Caller) -> m.Done:
        """Switch between one and three phases; a session is paused."""
        ...

    async def hlc_show(self, request: ac.AcQuery, caller: Caller) -> ac.HlcRows:
        """Digital communication with AC vehicles."""
        ...

    async def hlc_request(self, request: ac.HlcAsk, caller: Caller) -> m.Done:
        """Ask an ISO 15118 vehicle for something."""
        ...

    async def ventilation_show(self, request: ac.AcQuery, caller: Caller) -> ac.Ventilations:
        """Ventilation for pilot state D."""
        ...

    async def ventilation_set(self, request: ac.VentilationSet, caller: Caller) -> m.Done:
        """Say what an external ventilation does."""
        ...

    async def io_list(self, request: ac.IoRef, caller: Caller) -> ac.IoRows:
        """Digital inputs and outputs, temperatures, fan."""
        ...

    async def io_set(self, request: ac.IoSet, caller: Caller) -> m.Done:
        """Set a digital output by hand, or give it back."""
        ...

    async def recloser_status(self, request: ac.RecloserRef, caller: Caller) -> ac.Reclosers:
        """Reclosers and where they are."""
        ...

    async def recloser_open(self, request: ac.RecloserRef, caller: Caller) -> m.Done:
        """Open a recloser: its connectors lose their supply."""
        ...

    async def recloser_close(self, request: ac.RecloserRef, caller: Caller) -> m.Done:
        """Close a recloser: its connectors get their supply."""
        ...

    async def meter_detect(self, request: ac.DetectStart, caller: Caller) -> ac.DetectState:
        """Begin a search for meters on a line."""
        ...

    async def meter_detected(self, request: Empty, caller: Caller) -> ac.DetectState:
        """The running or last search."""
        ...

    async def meter_detect_stop(self, request: Empty, caller: Caller) -> m.Done:
        """End the running search."""
        ...

    async def rfid_tap(self, request: ac.TapRequest, caller: Caller) -> ac.Tap:
        """Wait for a card at a reader and use it for nothing else."""
        ...
