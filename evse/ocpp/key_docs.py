"""The reference of the configuration keys, made from their table (docs/ocpp-keys.md)."""

from __future__ import annotations

from evse.config.model_ocpp import OcppSection
from evse.domain.ac import AcSpec
from evse.domain.station import EvseKind, EvseSpec
from evse.ocpp.key_table import NOT_OFFERED, KeySpec, log_rows, measurands, reader_rows, signing_rows, table
from evse.ocpp.keys import range_of

HEAD = """# OCPP configuration keys

Made by `python -m tools.generate` from `evse/ocpp/key_table.py`, for a station with an AC socket on three phases and a DC
connector. What the CSMS or `evsectl ocpp config set` writes is on the disk before it is answered, stands over restarts and goes before
`station.toml`; HeartbeatInterval is set again by every BootNotification. Names count without regard to case.

- **R** read, **W** write, **-W** write only. *guarded* = another part decides and keeps the value; it may answer Rejected, or
  RebootRequired. Without that part the key is Rejected.
- **counts** says when a change is in force, **kept** whether it stands over restarts.
- The station's own file wins where nobody has set the key. LogLevel starts as `--log-level` says, the two RFID keys as the first
  `[[reader]]`; a station without readers does not know those.
- `GetConfiguration` without names answers all keys. With names it takes at most GetConfigurationMaxKeys of them (a longer list
  gets OccurenceConstraintViolation, so ask in pages), answers each once, and lists unknown ones apart.
- ccc = Charge Control C, user guide table 6. charx = CHARX web management, server variables.

"""

OTHERS = """
## Keys of others

Every key of table 6 of Charge Control C and every server variable of CHARX stands in the tables above under its own name, but
for these, which are unknown here:

| key | why |
|---|---|
"""


def markdown() -> str:
    """Return docs/ocpp-keys.md."""
    ac = AcSpec()
    evses = (EvseSpec(evse_id=1, kind=EvseKind.AC, ac=ac), EvseSpec(evse_id=2))
    lines = [HEAD]
    rows = [*table(OcppSection(), 2, evses), *log_rows("INFO"), *reader_rows("big", "plain")]
    lines += _table(sorted(rows, key=lambda spec: spec.key.lower()))
    lines.append("\n## Only with a meter that signs\n\n")
    lines += _table(signing_rows((1,)))
    lines.append("\n## Measurands\n\nOf AC stations; a DC station knows those without a line and without Frequency.\n\n")
    lines.append(", ".join(f"`{name}`" for name in measurands(evses)) + "\n")
    lines.append(OTHERS)
    lines += [f"| {key} | {why} |\n" for key, why in sorted(NOT_OFFERED.items())]
    return "".join(lines)


def _table(rows: list[KeySpec]) -> list[str]:
    found = ["| key | of | type | range | default | access | counts | kept | what |\n", "|---|---|---|---|---|---|---|---|---|\n"]
    found += [f"| {' | '.join(_cells(spec))} |\n" for spec in rows]
    return found


def _cells(spec: KeySpec) -> list[str]:
    if spec.same_as:
        inverse = ", the other way round" if spec.inverted else ""
        return [spec.key, spec.profile, spec.kind, "", "", "RW", "", "", f"the same as {spec.same_as}{inverse}"]
    access = "R" if spec.readonly else "-W" if spec.writeonly else "RW"
    if spec.guarded:
        access += ", guarded"
    allowed = "see below" if spec.kind == "measurands" else range_of(spec).replace(",", ", ")
    default = spec.default.replace(",", ", ")
    unit = f" {spec.unit}" if spec.unit and default else ""
    return [spec.key, spec.profile, spec.kind, allowed, f"{default}{unit}", access, "" if spec.readonly else spec.applies,
            _kept(spec), spec.help]


def _kept(spec: KeySpec) -> str:
    """Whether a value that was set stands over restarts."""
    return "" if spec.readonly else "until the boot" if spec.key == "HeartbeatInterval" else "yes"
