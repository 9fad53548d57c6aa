"""The fake itself: complete, typed like the protocol, and usable."""

from __future__ import annotations

import inspect

import msgspec

from evse.api import models as m
from evse.api.operations import BY_NAME, OPERATIONS
from evse.api.service import StationService
from evse.domain.faults import FaultCode
from evse.domain.session import SessionPhase
from evse.lab.vloop import run_virtual
from tests._support.fake_ac import REQUESTS as REQUESTS_AC
from tests._support.fake_ocpp import REQUESTS as REQUESTS_OCPP
from tests._support.fake_rules import REQUESTS as REQUESTS_RULES
from tests._support.fake_service import CODE, FakeStation, LocalClient
from tests._support.fake_whitelist import REQUESTS as REQUESTS_WHITELIST


def test_the_protocol_is_the_registry() -> None:
    methods = {n for n, _ in inspect.getmembers(StationService, inspect.isfunction) if not n.startswith("_")}
    assert methods == {op.name.replace(".", "_") for op in OPERATIONS}
    for op in OPERATIONS:
        hints = inspect.signature(getattr(StationService, op.name.replace(".", "_"))).parameters
        if op.stream:
            assert list(hints) == ["self", "since"]
        else:
            assert hints["request"].annotation.rpartition(".")[2] == op.request.__name__


def test_every_operation_of_the_fake_answers_with_its_type() -> None:
    requests: dict[str, m.Model] = {
        "connector.get": m.EvseRef(evse_id=1),
        "connector.start": m.StartRequest(evse_id=2),
        "connector.stop": m.StopRequest(evse_id=1),
        "connector.enable": m.AvailabilityRequest(evse_id=0),
        "connector.disable": m.AvailabilityRequest(evse_id=2),
        "connector.unlock": m.EvseRef(evse_id=1),
        "session.get": m.SessionRef(session_id="s-000003"),
        "fault.clear": m.FaultRef(code="F1", evse_id=2),
        "config.validate": m.ConfigCandidate(text="schema_version = 1\n"),
        "config.apply": m.ConfigCandidate(text="schema_version = 1\n", dry_run=True),
        "meter.probe": m.ProbeRequest(name="site"),
        "auth.signin": m.SignIn(pin="4711"),
        "auth.set_pin": m.SetPin(old="4711", new="4711"),
        "auth.totp_confirm": m.TotpConfirm(totp=CODE),
        **{
            name: msgspec.convert(given, BY_NAME[name].request)
            for name, given in {**REQUESTS_AC, **REQUESTS_WHITELIST, **REQUESTS_RULES, **REQUESTS_OCPP}.items()
        },
    }

    async def main() -> None:
        station: StationService = (fake := FakeStation())
        fake.add_ac()
        fake.raise_fault(FaultCode.EMERGENCY_STOP, 2)
        fake.end_cause(FaultCode.EMERGENCY_STOP, 2)
        client = LocalClient(fake)
        order = sorted(OPERATIONS, key=lambda op: (op.name == "whitelist.clear", op.name != "fault.clear", op.name))
        for op in order:
            fake.reset_ocpp()  # what goes is back for the next operation
            if op.stream:
                stream = getattr(station, op.name.replace(".", "_"))(None)
                assert (await anext(stream)).type in ("snapshot", "heartbeat")
                await stream.aclose()
            else:
                assert isinstance(await client.call(op.name, requests.get(op.name)), op.response), op.name

    run_virtual(main())


def test_a_whole_visit() -> None:
    async def main() -> None:
        fake = FakeStation()
        client = LocalClient(fake)
        fake.plug_in(2)
        assert fake.evse(2).phase is SessionPhase.WAIT_AUTH
        await client.call("connector.start", m.StartRequest(evse_id=2))
        assert fake.evse(2).phase is SessionPhase.CHARGING
        await client.call("connector.stop", m.StopRequest(evse_id=2))
        fake.plug_out(2)
        sessions = await client.call("session.list", m.SessionQuery(limit=5))
        assert sessions.total == 26
        assert len(sessions.items) == 5

    run_virtual(main())
