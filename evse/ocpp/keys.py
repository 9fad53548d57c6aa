"""The configuration keys of OCPP 1.6 Core: one table, typed values, durable changes.

A key starts with the value of ``station.toml``; what the CSMS or an operator sets is stored and wins over the file.
A key that this hardware gives only one meaning to is writable with that one value, so that a CSMS which sets it
unconditionally is content and one that asks for something else gets Rejected.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from evse.config.model_ocpp import OcppSection
from evse.domain.ac import LockMode
from evse.domain.station import EvseSpec
from evse.ocpp.ports import StorePort

NAMESPACE = "ocpp.keys"
CSL_MAX = 16
"""Members of a comma separated list."""

VALUE_MAX = 500
"""Characters of a value (CiString500)."""

MEASURANDS = (
    "Current.Import", "Current.Offered", "Energy.Active.Import.Register", "Power.Active.Import", "Power.Offered",
    "SoC", "Temperature", "Voltage",
)

AC_MEASURANDS = (*MEASURANDS, "Frequency")
"""Of stations with AC EVSEs."""

PROFILES = "Core,LocalAuthListManagement,RemoteTrigger,Reservation,SmartCharging"


class KeySpec(msgspec.Struct, frozen=True, kw_only=True):
    """One key. ``kind``: bool, int, text, measurands, choice. ``low``/``high`` bound an int, both inclusive."""

    key: str
    kind: str
    default: str
    readonly: bool = False
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()
    unit: str = ""
    help: str = ""


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its value, as it is shown."""

    key: str
    value: str
    readonly: bool
    help: str
    unit: str


def _bool(value: bool) -> str:
    return "true" if value else "false"


def phase_rotation(evses: tuple[EvseSpec, ...]) -> str:
    """Return ConnectorPhaseRotation, e.g. "1.RST,2.NotApplicable"; direct current has no phases."""
    if all(evse.ac is None for evse in evses):
        return "NotApplicable"
    return ",".join(f"{e.evse_id}.{'NotApplicable' if e.ac is None else e.ac.phase_rotation}" for e in evses)


def _unlock(evses: tuple[EvseSpec, ...]) -> KeySpec:
    """UnlockConnectorOnEVSideDisconnect: sockets with a lock can keep the plug for its owner; cables have one way only."""
    key = "UnlockConnectorOnEVSideDisconnect"
    sockets = [e.ac for e in evses if e.ac is not None and e.ac.socket and e.ac.lock_mode is not LockMode.NEVER]
    if not sockets:
        return KeySpec(key=key, kind="choice", default="true", choices=("true",), help="The cable belongs to the station")
    return KeySpec(key=key, kind="bool", default=_bool(all(ac.unlock_on_ev_disconnect for ac in sockets)),
                   help="Unlock a socket when the vehicle side is unplugged; false = its owner's card unlocks it")


def _specs(config: OcppSection, connectors: int, evses: tuple[EvseSpec, ...]) -> list[KeySpec]:
    has_ac = any(evse.ac is not None for evse in evses)
    rotation, measurands = phase_rotation(evses), AC_MEASURANDS if has_ac else MEASURANDS
    sampled = "Energy.Active.Import.Register,Power.Active.Import,Voltage,Current.Import,SoC"
    day = 86_400
    return [
        KeySpec(key="AllowOfflineTxForUnknownId", kind="bool", default=_bool(config.offline_policy == "allow"),
                help="Offline, cards that are in no list may charge"),
        KeySpec(key="AuthorizationCacheEnabled", kind="bool", default="true",
                help="Remember what the CSMS says of cards"),
        KeySpec(key="AuthorizeRemoteTxRequests", kind="bool", default="false",
                help="Ask the CSMS for the card of a remote start too"),
        KeySpec(key="ChargeProfileMaxStackLevel", kind="int", default="20", readonly=True),
        KeySpec(key="ChargingScheduleAllowedChargingRateUnit", kind="text", default="Current,Power", readonly=True),
        KeySpec(key="ChargingScheduleMaxPeriods", kind="int", default="100", readonly=True),
        KeySpec(key="ClockAlignedDataInterval", kind="int", default=str(config.aligned_interval_s), high=day,
                unit="s", help="Clock-aligned meter values; 0 = off"),
        KeySpec(key="ConnectionTimeOut", kind="int", default=str(config.connection_timeout_s), low=5, high=3600,
                unit="s",
                help="Authorised but nobody plugs in"),
        KeySpec(key="ConnectorPhaseRotation", kind="choice", default=rotation, choices=(rotation,),
                help="Grid phases of each connector" if has_ac else "Direct current has no phases"),
        KeySpec(key="GetConfigurationMaxKeys", kind="int", default="100",
                readonly=True, help="Keys in one GetConfiguration"),
        KeySpec(key="HeartbeatInterval", kind="int", default=str(config.heartbeat_s), low=1, high=day, unit="s",
                help="Heartbeat; BootNotification sets it"),
        KeySpec(key="LightIntensity", kind="int", default=str(config.light_intensity_pct), low=0, high=100, unit="%",
                help="Brightness of all lamps"),
        KeySpec(key="LocalAuthListEnabled", kind="bool", default="true",
                help="Cards that the CSMS has sent beforehand count"),
        KeySpec(key="LocalAuthListMaxLength", kind="int", default="10000", readonly=True),
        KeySpec(key="LocalAuthorizeOffline", kind="bool", default=_bool(config.offline_policy != "deny"),
                help="Offline, cards that the CSMS has accepted before may charge"),
        KeySpec(key="LocalPreAuthorize", kind="bool", default="false",
                help="Online, cards of list and cache start without asking first"),
        KeySpec(key="MaxChargingProfilesInstalled", kind="int", default="20", readonly=True),
        KeySpec(key="MeterValuesAlignedData", kind="measurands", choices=measurands, default=sampled,
                help="Measurands of clock-aligned values"),
        KeySpec(key="MeterValuesAlignedDataMaxLength", kind="int", default=str(len(measurands)), readonly=True),
        KeySpec(key="MeterValuesSampledData", kind="measurands", choices=measurands, default=sampled, help="Measurands of sampled values"),
        KeySpec(key="MeterValuesSampledDataMaxLength", kind="int", default=str(len(measurands)), readonly=True),
        KeySpec(key="MeterValueSampleInterval", kind="int", default=str(config.sample_interval_s), high=day, unit="s",
                help="Sampled meter values during a transaction; 0 = off"),
        KeySpec(key="MinimumStatusDuration", kind="int", default="10", low=0, high=300, unit="s",
                help="Shortest time between two StatusNotifications of a connector"),
        KeySpec(key="NumberOfConnectors", kind="int", default=str(connectors), readonly=True),
        KeySpec(key="ReserveConnectorZeroSupported", kind="bool", default="false", readonly=True),
        KeySpec(key="ResetRetries", kind="int", default="0", high=10,
                help="A reset is done once; retries are not needed"),
        KeySpec(key="SendLocalListMaxLength", kind="int", default="1000", readonly=True),
        KeySpec(key="StopTransactionOnEVSideDisconnect", kind="choice", default="true", choices=("true",),
                help="A session ends when its vehicle leaves" if has_ac
                else "The cable belongs to the station and is locked in the vehicle"),
        KeySpec(key="StopTransactionOnInvalidId", kind="bool", default="true",
                help="Stop when the CSMS refuses the card after an offline start"),
        KeySpec(key="StopTxnAlignedData", kind="measurands", choices=measurands, default="",
                help="Clock-aligned data inside StopTransaction"),
        KeySpec(key="StopTxnAlignedDataMaxLength", kind="int", default=str(len(measurands)), readonly=True),
        KeySpec(key="StopTxnSampledData", kind="measurands", choices=measurands, default="Energy.Active.Import.Register,SoC",
                help="Begin and end data inside StopTransaction"),
        KeySpec(key="StopTxnSampledDataMaxLength", kind="int", default=str(len(measurands)), readonly=True),
        KeySpec(key="SupportedFeatureProfiles", kind="text", default=PROFILES, readonly=True),
        KeySpec(key="SupportedFeatureProfilesMaxLength", kind="int", default="6", readonly=True),
        KeySpec(key="TransactionMessageAttempts", kind="int", default="3", low=1, high=100,
                help="Refusals of a transaction message after which it is parked"),
        KeySpec(key="TransactionMessageRetryInterval", kind="int", default="60", low=1, high=3600, unit="s",
                help="Wait after a refusal, times the number of refusals"),
        _unlock(evses),
        KeySpec(key="WebSocketPingInterval", kind="int", default=str(config.ping_s), high=3600, unit="s",
                help="WebSocket ping; 0 = off"),
    ]


class Keys:
    """The keys of one station. ``changed`` is called with the name after a change is durable."""

    def __init__(
        self, config: OcppSection, connectors: int, store: StorePort, evses: tuple[EvseSpec, ...] = ()
    ) -> None:
        self._specs = {spec.key.lower(): spec for spec in _specs(config, connectors, evses)}
        self._given: set[str] = set()
        self._values = {spec.key: spec.default for spec in self._specs.values()}
        self._store = store
        self.changed: Callable[[str], None] | None = None

    def set_connectors(self, count: int) -> None:
        """Set NumberOfConnectors."""
        self._values["NumberOfConnectors"] = str(count)

    async def load(self) -> None:
        """Read what was set before; a stored value that is no longer allowed is ignored."""
        for key, value in (await self._store.get_all(NAMESPACE)).items():
            spec = self._specs.get(key.lower())
            accepted = None if spec is None or spec.readonly else _accept(spec, value)
            if spec is not None and accepted is not None:
                self._values[spec.key] = accepted
                self._given.add(spec.key)

    async def change_defaults(self, config: OcppSection, evses: tuple[EvseSpec, ...]) -> None:
        """Take the values of a changed file; what the CSMS or an operator has set stays."""
        stored = {key.lower() for key in await self._store.get_all(NAMESPACE)}
        connectors = int(self._values["NumberOfConnectors"])
        for spec in _specs(config, connectors, evses):
            before = self._specs[spec.key.lower()]
            self._specs[spec.key.lower()] = spec
            if spec.default == before.default or spec.readonly or spec.key.lower() in stored:
                continue
            self._values[spec.key] = spec.default
            if self.changed is not None:
                self.changed(spec.key)

    def number(self, key: str) -> int:
        """Value of an int key."""
        return int(self._values[key])

    def flag(self, key: str) -> bool:
        """Value of a bool key."""
        return self._values[key] == "true"

    def given_flag(self, key: str) -> bool | None:
        """Value of a bool key that the CSMS or an operator has set, now or before a restart; None = nobody has."""
        return self.flag(key) if key in self._given else None

    def measurands(self, key: str) -> tuple[str, ...]:
        """Value of a list of measurands."""
        return tuple(name for name in self._values[key].split(",") if name)

    def all(self) -> list[KeyInfo]:
        """All keys in the order of their names."""
        return [self._info(spec) for _, spec in sorted(self._specs.items())]

    def find(self, key: str) -> KeyInfo | None:
        """One key, without regard to case."""
        spec = self._specs.get(key.lower())
        return None if spec is None else self._info(spec)

    def _info(self, spec: KeySpec) -> KeyInfo:
        return KeyInfo(
            key=spec.key, value=self._values[spec.key], readonly=spec.readonly, help=spec.help, unit=spec.unit
        )

    def learn(self, key: str, value: int) -> None:
        """Take a number that the CSMS tells at every boot; a value out of range is ignored. Not stored."""
        spec = self._specs[key.lower()]
        if spec.low <= value <= spec.high and self._values[spec.key] != str(value):
            self._values[spec.key] = str(value)
            if self.changed is not None:
                self.changed(spec.key)

    async def set(self, key: str, value: str) -> str:
        """Set a key durably; return Accepted, Rejected (read-only or not allowed) or NotSupported (unknown)."""
        spec = self._specs.get(key.lower())
        if spec is None:
            return "NotSupported"
        accepted = None if spec.readonly else _accept(spec, value)
        if accepted is None:
            return "Rejected"
        await self._store.put(NAMESPACE, spec.key, accepted)
        self._values[spec.key] = accepted
        self._given.add(spec.key)
        if self.changed is not None:
            self.changed(spec.key)
        return "Accepted"


def _accept(spec: KeySpec, value: str) -> str | None:
    """Return the value in its normal form, None when it is not allowed."""
    text = value.strip()
    if len(text) > VALUE_MAX:
        return None
    match spec.kind:
        case "bool":
            return text.lower() if text.lower() in ("true", "false") else None
        case "int":
            digits = text.isascii() and text.isdigit() and len(text) <= 9
            return str(int(text)) if digits and spec.low <= int(text) <= spec.high else None
        case "measurands":
            return _accept_measurands(text, spec.choices)
        case "choice":
            wanted = "".join(text.lower().split())
            return next((choice for choice in spec.choices if choice.lower() == wanted), None)
        case _:
            return text


def _accept_measurands(text: str, choices: tuple[str, ...]) -> str | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {name.lower(): name for name in choices}
    if len(names) > CSL_MAX or any(name.lower() not in known for name in names):
        return None
    return ",".join(dict.fromkeys(known[name.lower()] for name in names))
