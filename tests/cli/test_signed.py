"""``evsectl session signed``: files for verifiers, whose text is what the meter has signed, character by character."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec

from evse.domain.signing import SignedValues
from evse.sim.hw.signing_meter import der_of, meter_key
from tests._support.fake_service import FakeStation
from tests.cli.support import run
from tests.meters.ocmf_check import genuine

PAYLOAD = '{"FV":"1.0","GI":"<&>\\"ü\\"","RD":[{"TM":"2026-01-01T10:00:00,000+0000 S","TX":"B","RV":1.230,"RU":"kWh"}]}'


def signed(payload: str) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    made = meter_key(1, "cli").sign(payload.encode(), ec.ECDSA(hashes.SHA256()))
    return f'OCMF|{payload}|{{"SD":"{made.hex()}"}}'


def given(station: FakeStation) -> SignedValues:
    """Let the newest session that is over be a signed one."""
    values = SignedValues(
        begin=signed(PAYLOAD), end=signed(PAYLOAD.replace('"B"', '"E"')), public_key=der_of(meter_key(1, "cli")).hex(),
        meter_serial="LAB1",
    )
    station.past[0] = msgspec.structs.replace(station.past[0], signed=values)
    return values


def test_the_file_has_what_a_verifier_needs(station: FakeStation, tmp_path: Path) -> None:
    values, name = given(station), station.past[0].session_id
    target = tmp_path / "signed.xml"
    assert run("session", "signed", name, "-O", str(target)).code == 0
    rows = ElementTree.fromstring(target.read_text(encoding="utf-8")).findall("value")
    assert [row.get("context") for row in rows] == ["Transaction.Begin", "Transaction.End"]
    assert {row.get("transactionId") for row in rows} == {str(station.past[0].transaction_id)}
    for row, text in zip(rows, (values.begin, values.end), strict=True):
        data, key = row.find("signedData"), row.find("publicKey")
        assert data is not None
        assert key is not None
        assert (data.get("format"), data.get("encoding")) == ("OCMF", "plain")
        assert data.text == text
        assert genuine(str(data.text), str(key.text))
        assert not genuine(str(data.text).replace("1.230", "1.231"), str(key.text))
    assert run("session", "signed", name, "--format", "ocmf").text.splitlines() == [values.begin, values.end]
    shown = run("session", "get", name).text
    assert "begin and end as OCMF" in shown
    assert values.public_key[:20] in shown


def test_what_cannot_be_exported_says_why(station: FakeStation) -> None:
    given(station)
    name = station.past[1].session_id
    result = run("session", "signed", name)
    assert (result.code, result.out) == (3, b"")
    assert f"session {name} has no signed readings" in result.err
    result = run("session", "signed", name, "--format", "pdf")
    assert result.code == 2
    assert "xml, ocmf" in result.err
