"""The configuration keys of one station: typed values, durable changes, guards.

A key starts with the value of ``station.toml``; what the CSMS or an operator sets is stored and wins over the file. The rows
are those of `evse.ocpp.key_table`. A key with a guard is kept by its guard: that of AuthorizationKey puts it in a sealed file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from evse.config.model_ocpp import OcppSection
from evse.domain.station import EvseSpec
from evse.ocpp.key_table import KeySpec, table
from evse.ocpp.ports import StorePort

NAMESPACE = "ocpp.keys"

VALUE_MAX = 500
"""Characters of a value (CiString500)."""

Guard = Callable[[str], Awaitable[str]]
"""Takes a value that its type and range allow, durably; returns Accepted, Rejected or RebootRequired."""


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its value, as it is shown. ``writeonly`` = its value is never told (AuthorizationKey), so it is ""."""

    key: str
    value: str
    readonly: bool
    help: str
    unit: str
    kind: str = "text"
    range: str = ""  # "5..3600", "Current.Import,SoC,..." or "" = any
    profile: str = "Core"  # feature profile, or the maker whose vendor key it is
    applies: str = ""  # when a change counts
    writeonly: bool = False


class Keys:
    """The keys of one station. ``changed`` is called with the name after a change is durable."""

    def __init__(
        self, config: OcppSection, connectors: int, store: StorePort, evses: tuple[EvseSpec, ...] = ()
    ) -> None:
        self._specs = {spec.key.lower(): spec for spec in table(config, connectors, evses)}
        self._given: set[str] = set()
        self._values = {spec.key: spec.default for spec in self._specs.values() if not spec.same_as}
        self._guards: dict[str, Guard] = {}
        self._store = store
        self.changed: Callable[[str], None] | None = None

    def set_connectors(self, count: int) -> None:
        """Set NumberOfConnectors."""
        self._values["NumberOfConnectors"] = str(count)
        self._values["ConnectorPhaseRotationMaxLength"] = str(max(1, count))

    def offer(self, spec: KeySpec) -> None:
        """Add a key of a part that not every station has, or replace its row; before `load`."""
        self._specs[spec.key.lower()] = spec
        if not spec.same_as:
            self._values[spec.key] = spec.default

    def renew(self, spec: KeySpec) -> None:
        """Take another row of a key of a part; its default counts unless somebody has set the key."""
        self._specs[spec.key.lower()] = spec
        if spec.key not in self._given and self._values[spec.key] != spec.default:
            self._values[spec.key] = spec.default
            if self.changed is not None:
                self.changed(spec.key)

    def guard(self, key: str, guard: Guard) -> None:
        """Let ``guard`` decide about a key and keep it: nothing is stored here, `tell` says what is shown."""
        self._guards[self._specs[key.lower()].key] = guard

    def tell(self, key: str, value: str) -> None:
        """Set what is shown of a key that its guard keeps, or that the station itself knows. Not stored."""
        spec = self._specs[key.lower()]
        before, self._values[spec.key] = self._values[spec.key], "" if spec.writeonly else value
        if self.changed is not None and before != value:
            self.changed(spec.key)

    def add_profile(self, name: str) -> None:
        """Name one more feature profile in SupportedFeatureProfiles: a part that not every station has."""
        names = {*self.text("SupportedFeatureProfiles").split(","), name}
        self.tell("SupportedFeatureProfiles", ",".join(sorted(names)))

    async def load(self) -> None:
        """Read what was set before; a stored value that is no longer allowed is ignored."""
        for key, value in (await self._store.get_all(NAMESPACE)).items():
            spec = self._specs.get(key.lower())
            accepted = None if spec is None or not _kept_here(spec) else _accept(spec, value)
            if spec is not None and accepted is not None:
                self._values[spec.key] = accepted
                self._given.add(spec.key)

    async def change_defaults(self, config: OcppSection, evses: tuple[EvseSpec, ...]) -> None:
        """Take the values of a changed file; what the CSMS or an operator has set stays."""
        stored = {key.lower() for key in await self._store.get_all(NAMESPACE)}
        connectors = int(self._values["NumberOfConnectors"])
        for spec in table(config, connectors, evses):
            before = self._specs.get(spec.key.lower(), spec)
            self._specs[spec.key.lower()] = spec
            if spec.default == before.default or not _kept_here(spec) or spec.key.lower() in stored:
                continue
            self._values[spec.key] = spec.default
            if self.changed is not None:
                self.changed(spec.key)

    def text(self, key: str) -> str:
        """Value of a text or choice key."""
        return self._values[key]

    def number(self, key: str) -> int:
        """Value of an int key."""
        return int(self._values[key])

    def flag(self, key: str) -> bool:
        """Value of a bool key."""
        return self._values[key] == "true"

    def given_flag(self, key: str) -> bool | None:
        """Value of a bool key that the CSMS or an operator has set, now or before a restart; None = nobody has."""
        return self.flag(key) if key in self._given else None

    def given_text(self, key: str) -> str | None:
        """Value of a text key that the CSMS or an operator has set; None = nobody has."""
        return self.text(key) if key in self._given else None

    def given(self) -> list[str]:
        """Names of the keys that the CSMS or an operator has set and that are kept here."""
        return sorted(self._given)

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
        meant = self._meant(spec)
        value = "" if meant.writeonly else self._values[meant.key]
        if spec.inverted:
            value = "false" if value == "true" else "true"
        return KeyInfo(
            key=spec.key, value=value, readonly=meant.readonly, unit=meant.unit, kind=meant.kind, range=range_of(meant),
            help=f"the same as {meant.key}{', the other way round' if spec.inverted else ''}" if spec.same_as else meant.help,
            profile=spec.profile, applies="" if meant.readonly else meant.applies, writeonly=meant.writeonly,
        )

    def _meant(self, spec: KeySpec) -> KeySpec:
        return self._specs[spec.same_as.lower()] if spec.same_as else spec

    def learn(self, key: str, value: int) -> None:
        """Take a number that the CSMS tells at every boot; a value out of range is ignored. Not stored."""
        spec = self._specs[key.lower()]
        if spec.low <= value <= spec.high and self._values[spec.key] != str(value):
            self._values[spec.key] = str(value)
            if self.changed is not None:
                self.changed(spec.key)

    async def set(self, key: str, value: str) -> str:
        """Set a key durably; return Accepted, RebootRequired, Rejected (read-only, not allowed) or NotSupported (unknown)."""
        named = self._specs.get(key.lower())
        if named is None:
            return "NotSupported"
        spec = self._meant(named)
        accepted = None if spec.readonly else _accept(spec, value)
        if accepted is None:
            return "Rejected"
        if named.inverted:
            accepted = "false" if accepted == "true" else "true"
        guard = self._guards.get(spec.key)
        if guard is not None:
            return await guard(accepted)
        if spec.guarded:
            return "Rejected"
        await self._store.put(NAMESPACE, spec.key, accepted)
        self._values[spec.key] = accepted
        self._given.add(spec.key)
        if self.changed is not None:
            self.changed(spec.key)
        return "Accepted"


def _kept_here(spec: KeySpec) -> bool:
    return not (spec.readonly or spec.guarded or spec.same_as)


def range_of(spec: KeySpec) -> str:
    """Return the values that a key takes as text, "" = any of its kind."""
    match spec.kind:
        case "int" if not spec.readonly:
            return f"{'0, ' if spec.zero else ''}{spec.low}..{spec.high}"
        case "choice" | "measurands":
            return ",".join(spec.choices)
        case "text" | "secret" if spec.high:
            return f"{spec.low}..{spec.high} characters"
        case _:
            return ""


def _accept(spec: KeySpec, value: str) -> str | None:
    """Return the value in its normal form, None when it is not allowed."""
    text = value if spec.kind == "secret" else value.strip()
    if len(text) > VALUE_MAX:
        return None
    match spec.kind:
        case "bool":
            return text.lower() if text.lower() in ("true", "false") else None
        case "int":
            if not (text.isascii() and text.isdigit() and len(text) <= 9):
                return None
            number = int(text)
            return str(number) if spec.low <= number <= spec.high or (spec.zero and number == 0) else None
        case "measurands":
            return _accept_measurands(text, spec.choices)
        case "choice":
            wanted = "".join(text.lower().split())
            return next((choice for choice in spec.choices if choice.lower() == wanted), None)
        case _:
            return text if not spec.high or spec.low <= len(text) <= spec.high else None


def _accept_measurands(text: str, choices: tuple[str, ...]) -> str | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {name.lower(): name for name in choices}
    if any(name.lower() not in known for name in names):
        return None
    return ",".join(dict.fromkeys(known[name.lower()] for name in names))

