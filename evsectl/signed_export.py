"""Signed readings of a session as files that verifiers take: the XML of the transparency software of S.A.F.E. e.V., or bare OCMF."""

from __future__ import annotations

from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

FORMATS: Final = ("xml", "ocmf")
ENDS: Final = (("begin", "Transaction.Begin"), ("end", "Transaction.End"))


def export(session: dict[str, Any], form: str) -> str:
    """Return the file of a session with signed readings, as the API gives it. ``form`` = one of `FORMATS`."""
    signed = session["signed"]
    texts = [(context, signed[key]) for key, context in ENDS if signed[key]]
    if form == "ocmf":
        return "".join(f"{text}\n" for _, text in texts)
    lines = ['<?xml version="1.0" encoding="UTF-8" standalone="yes"?>', "<values>"]
    number = session["transaction_id"]
    name = "" if number is None else f" transactionId={quoteattr(str(number))}"
    for context, text in texts:
        lines += [
            f"  <value{name} context={quoteattr(context)}>",
            f'    <signedData format={quoteattr(signed["format"])} encoding="plain">{escape(text)}</signedData>',
            f'    <publicKey encoding="plain">{escape(signed["public_key"])}</publicKey>',
            "  </value>",
        ]
    return "\n".join([*lines, "</values>", ""])
