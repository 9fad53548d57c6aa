"""Our schema checks and payloads against other people's: ``jsonschema`` and the dataclasses of ``ocpp``."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from evse.domain.base import BugError
from evse.domain.records import OutboxRow
from evse.domain.session import SessionRecord, StopReason
from evse.ocpp import schema, v16
from evse.ocpp.messages import check_call, check_result, known_actions, parse_timestamp, timestamp
from evse.ocpp.ports import Identity
from tests._support.examples import examples

NAMES = sorted(schema.names())


def reference(name: str) -> Any:
    document = json.loads((schema.schema_dir() / f"{name}.json").read_text(encoding="utf-8-sig"))
    return document, Draft4Validator(document)


def test_all_schemas_compile() -> None:
    assert len(NAMES) == 78
    for name in NAMES:
        schema.load(name)
    assert {"BootNotification", "TriggerMessage"} <= known_actions()
    assert "BootNotificationResponse" not in known_actions()


def values_for(part: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values near a schema: mostly right, sometimes with a wrong type, length, member or field."""
    if "$ref" in part:
        part = root["definitions"][part["$ref"].rsplit("/", 1)[-1]]
    wrong = st.sampled_from([None, True, 5, 2.5, "", "x" * 600, [], {}, ["a"], {"a": 1}])
    if "enum" in part:
        right: st.SearchStrategy[Any] = st.sampled_from(part["enum"])
    elif part.get("type") == "object":
        properties = part.get("properties", {})
        required = part.get("required", [])
        right = st.fixed_dictionaries(
            {name: values_for(properties[name], root) for name in required if name in properties},
            optional={
                **{name: values_for(sub, root) for name, sub in properties.items() if name not in required},
            },
        )
        right = st.one_of(right, right, right, st.tuples(right, st.sampled_from([*required, "zz"])).map(_damage))
    elif part.get("type") == "array":
        right = st.lists(values_for(part["items"], root), max_size=2)
    elif part.get("type") in ("integer", "number"):
        right = st.integers(-5, 2**70)
    elif part.get("type") == "boolean":
        right = st.booleans()
    else:
        right = st.sampled_from(["", "a", "2026-01-01T00:00:00Z", "x" * 20, "x" * 21, "x" * 50, "x" * 51])
    return st.integers(0, 24).flatmap(lambda dice: wrong if dice == 0 else right)


def _damage(pair: tuple[dict[str, Any], str]) -> dict[str, Any]:
    value, name = dict(pair[0]), pair[1]
    if name in value:
        del value[name]
    else:
        value[name] = 1
    return value


@pytest.mark.parametrize("name", NAMES)
def test_our_verdict_is_that_of_jsonschema(name: str) -> None:
    document, validator = reference(name)
    check = schema.load(name)

    @settings(max_examples=examples(12), deadline=None, database=None)
    @given(values_for(document, document))
    def agree(value: Any) -> None:
        rules = {str(error.validator) for error in validator.iter_errors(value)} - {"multipleOf"}
        problem = check(value, "")
        assert (problem is None) == (not rules), (value, problem, rules)
        if problem is not None:
            assert problem[0] in rules
            if problem[0] == "additionalProperties":
                assert rules == {"additionalProperties"}  # reported only when nothing worse is there

    agree()


def test_unknown_keyword_is_our_bug_and_not_a_missing_check() -> None:
    with pytest.raises(BugError, match="pattern"):
        schema._compile({"type": "string", "pattern": "x"}, {})


SESSION = SessionRecord(
    session_id="s1", evse_id=2, connector_id=1, plugged_at=1, started_at=1_767_225_600 * 10**9, meter_start_wh=5,
    ended_at=1_767_225_700 * 10**9, meter_stop_wh=9, id_token="CARD", soc_start_pct=1, soc_end_pct=2,
    stop_reason=StopReason.LOCAL,
)


def _names(cls: type) -> set[str]:
    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(part.title() for part in rest)

    return {camel(field.name) for field in fields(cls)}


def test_rows_have_the_fields_of_the_ocpp_dataclasses() -> None:
    from ocpp.v16 import call

    data = [{"timestamp": timestamp(1), "sampledValue": [{"value": "1"}]}]
    made: list[tuple[OutboxRow, type]] = [
        (v16.start_row(SESSION), call.StartTransaction),
        (v16.stop_row(SESSION, 0, data), call.StopTransaction),
        (v16.meter_row(SESSION, 5, "Sample.Periodic", [{"value": "1"}]), call.MeterValues),
    ]
    for row, cls in made:
        payload = json.loads(row.payload)
        if row.action != "StartTransaction":
            payload["transactionId"] = 7
        assert set(payload) <= _names(cls)
        assert check_call(row.action, payload) is None
        assert len(row.unique_id) <= 36
    boot = v16.boot_payload(Identity(charge_point_id="x", vendor="v" * 99, model="", serial="s" * 99, firmware="f"))
    assert set(boot) <= _names(call.BootNotification)
    assert check_call("BootNotification", boot) is None


def test_rows_are_the_same_when_made_again() -> None:
    assert v16.start_row(SESSION) == v16.start_row(SESSION)
    assert v16.start_row(SESSION).unique_id != v16.stop_row(SESSION, 0, []).unique_id


@pytest.mark.parametrize("reason", list(StopReason))
def test_every_stop_reason_has_a_word(reason: StopReason) -> None:
    import msgspec

    row = v16.stop_row(msgspec.structs.replace(SESSION, stop_reason=reason), 0, [])
    assert check_call("StopTransaction", {**json.loads(row.payload), "transactionId": 1}) is None


def test_stop_without_a_meter_value_uses_what_is_known() -> None:
    import msgspec

    cut = msgspec.structs.replace(SESSION, meter_stop_wh=None, energy_wh=7, ended_at=None)
    payload = json.loads(v16.stop_row(cut, 10**18, []).payload)
    assert (payload["meterStop"], payload["timestamp"]) == (12, timestamp(10**18))


@given(st.integers(0, 4 * 10**18))
def test_timestamps_are_those_of_the_calendar_and_come_back(wall: int) -> None:
    text = timestamp(wall)
    moment = datetime.fromtimestamp(wall // 10**9, UTC)
    assert text[:19] == moment.strftime("%Y-%m-%dT%H:%M:%S")
    assert parse_timestamp(text) == wall // 10**6 * 10**6


@pytest.mark.parametrize("text", ["", "now", "2026-13-01T00:00:00Z", "99999-01-01", "2026-01-01T25:00:00Z"])
def test_bad_timestamps_are_none(text: str) -> None:
    assert parse_timestamp(text) is None


def test_zone_and_missing_zone() -> None:
    assert parse_timestamp("2026-01-01T01:00:00+01:00") == parse_timestamp("2026-01-01T00:00:00")


def test_answers_with_more_fields_than_known_are_accepted() -> None:
    assert check_result("Heartbeat", {"currentTime": "x", "extra": 1}) is None
    problem = check_result("StartTransaction", {"extra": 1, "idTagInfo": {"status": "No"}, "transactionId": 1})
    assert problem is not None
    assert problem.code == "PropertyConstraintViolation"
