"""The service behind the API: one method per operation of the registry, named like it with ``_`` for ``.``.

The runtime implements it, `evse.api.server` calls it. Methods raise `evse.api.errors.ApiError` for everything that
is not a bug; any other exception is answered with 500 and logged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from evse.api import models as m
from evse.api.caller import AuditNote as AuditNote
from evse.api.caller import Caller as Caller
from evse.api.operations import Empty
from evse.api.service_ac import AcService
from evse.api.service_ocpp import OcppService
from evse.api.service_rules import RuleService
from evse.api.service_whitelist import WhitelistService


class StationService(AcService, OcppService, WhitelistService, RuleService, Protocol):
    """Every operation of `evse.api.operations.OPERATIONS`. A test compares both."""

    async def version_get(self, request: Empty, caller: Caller) -> m.Version:
        """Version of the daemon and of the API."""
        ...

    async def status_get(self, request: Empty, caller: Caller) -> m.Status:
        """The whole station as it stands now."""
        ...

    def status_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        """Snapshot, then changes of the view at most twice a second, heartbeats every 10 s."""
        ...

    async def doctor_run(self, request: Empty, caller: Caller) -> m.Doctor:
        """Check devices, back end, storage, configuration and clock."""
        ...

    async def events_list(self, request: m.HistoryQuery, caller: Caller) -> m.Events:
        """Event history, newest first."""
        ...

    def events_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        """Events as they happen; resume with since."""
        ...

    async def connector_list(self, request: Empty, caller: Caller) -> m.Connectors:
        """All connectors."""
        ...

    async def connector_get(self, request: m.EvseRef, caller: Caller) -> m.Connectors:
        """One connector."""
        ...

    async def connector_start(self, request: m.StartRequest, caller: Caller) -> m.Done:
        """Authorise a connector and start charging."""
        ...

    async def connector_stop(self, request: m.StopRequest, caller: Caller) -> m.Done:
        """Stop charging on a connector."""
        ...

    async def connector_enable(self, request: m.AvailabilityRequest, caller: Caller) -> m.Done:
        """Take a connector into service."""
        ...

    async def connector_disable(self, request: m.AvailabilityRequest, caller: Caller) -> m.Done:
        """Take a connector out of service."""
        ...

    async def connector_unlock(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Stop charging and unlock the connector."""
        ...

    async def session_list(self, request: m.SessionQuery, caller: Caller) -> m.Sessions:
        """Sessions, newest first."""
        ...

    async def session_get(self, request: m.SessionRef, caller: Caller) -> m.SessionDetail:
        """One session with its power and SoC points."""
        ...

    async def fault_list(self, request: Empty, caller: Caller) -> m.Faults:
        """Active faults with remedies."""
        ...

    async def fault_clear(self, request: m.FaultRef, caller: Caller) -> m.Done:
        """Clear a latched fault whose cause is gone."""
        ...

    async def fault_catalogue(self, request: Empty, caller: Caller) -> m.FaultCatalogue:
        """Every fault with its texts."""
        ...

    async def planner_get(self, request: Empty, caller: Caller) -> m.PlannerState:
        """Site limits, plan and module groups."""
        ...

    async def planner_set(self, request: m.PlannerChange, caller: Caller) -> m.PlannerState:
        """Change site limits now, without restart."""
        ...

    async def planner_recompute(self, request: Empty, caller: Caller) -> m.PlannerState:
        """Plan again from scratch."""
        ...

    async def planner_explain(self, request: m.ExplainQuery, caller: Caller) -> m.Explanations:
        """Why each connector gets what it gets."""
        ...

    async def config_show(self, request: Empty, caller: Caller) -> m.ConfigText:
        """The configuration file in force, without secrets."""
        ...

    async def config_validate(self, request: m.ConfigCandidate, caller: Caller) -> m.ConfigResult:
        """Check a configuration; all errors at once."""
        ...

    async def config_apply(self, request: m.ConfigCandidate, caller: Caller) -> m.ConfigResult:
        """Apply a configuration."""
        ...

    async def plc_discover(self, request: Empty, caller: Caller) -> m.PlcDiscovery:
        """Boards detected, configured and matched."""
        ...

    async def meter_read(self, request: m.MeterRef, caller: Caller) -> m.Meters:
        """Latest values of the meters."""
        ...

    async def meter_probe(self, request: m.ProbeRequest, caller: Caller) -> m.ProbeResult:
        """Read every register of a meter now."""
        ...

    async def rfid_last(self, request: Empty, caller: Caller) -> m.Readers:
        """Readers and the last card."""
        ...

    async def trace_dump(self, request: Empty, caller: Caller) -> m.TraceDump:
        """Write the recorded inputs to a file."""
        ...

    async def auth_signin(self, request: m.SignIn, caller: Caller) -> m.Token:
        """Raise the role with the service PIN."""
        ...

    async def auth_signout(self, request: Empty, caller: Caller) -> m.Done:
        """End the raised role."""
        ...

    async def auth_set_pin(self, request: m.SetPin, caller: Caller) -> m.Done:
        """Set or change the service PIN."""
        ...

    async def auth_totp_begin(self, request: Empty, caller: Caller) -> m.TotpEnrolment:
        """Make a secret for one-time codes."""
        ...

    async def auth_totp_confirm(self, request: m.TotpConfirm, caller: Caller) -> m.Done:
        """Ask for one-time codes from now on."""
        ...

    async def auth_totp_disable(self, request: m.TotpDisable, caller: Caller) -> m.Done:
        """Ask for one-time codes no more."""
        ...

    async def auth_whoami(self, request: Empty, caller: Caller) -> m.WhoAmI:
        """Role of the caller."""
        ...

    async def audit_list(self, request: m.HistoryQuery, caller: Caller) -> m.Audit:
        """Who changed what."""
        ...
