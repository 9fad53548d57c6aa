"""The white list: what a question about a card costs in a long list, beside a list of one entry."""

from __future__ import annotations

from functools import partial

from benchmarks.timing import Figure, median_us
from evse.access.whitelist import ENTRIES_MAX, Verdict, Whitelist
from evse.domain.whitelist import Entry, Kind

NOW = 1_767_261_600 * 10**9
"""A wall time before the entries expire."""
ROUNDS = 20
ASKED = 1000
"""Questions in one measured call; half are about ids of the list, half about others."""
LOOKUP_US = 1000.0
RATIO_MAX = 3.0
"""A dictionary of 10 000 misses the processor's caches; a search through the list would be 5000 times as long."""


def run(entries: int = ENTRIES_MAX, rounds: int = ROUNDS) -> list[Figure]:
    """All figures of the module."""
    one, long = lookup_us(1, rounds), lookup_us(entries, rounds)
    whole = whitelist(entries)
    return [
        Figure(name=f"whitelist, one card among {entries} entries", value=long, unit="µs", budget=LOOKUP_US),
        Figure(
            name=f"whitelist, {entries} entries against 1",
            value=long / one,
            unit="x",
            budget=RATIO_MAX,
            note=f"{long:.2f} µs against {one:.2f} µs",
        ),
        Figure(
            name=f"whitelist, search of a text in {entries} entries",
            value=median_us(partial(whole.search, "card 77"), rounds) / 1000,
            unit="ms",
            budget=None,
            note="for screens and evsectl; no decision searches",
        ),
    ]


def card(number: int) -> str:
    """Return the 7 byte UID of a number, spread over the range as real ones are."""
    return f"04{number * 2_654_435_761 % 2**48:012X}"


def whitelist(entries: int) -> Whitelist:
    """Return a list in which every tenth entry is for connector 1 only."""
    return Whitelist(
        Entry(
            kind=Kind.RFID, id=card(n) + ("_1" if n % 10 == 9 else ""), name=f"Card {n}", expires_at=NOW + 1,
            created_at=NOW,
        )
        for n in range(entries)
    )  # fmt: skip


def lookup_us(entries: int, rounds: int) -> float:
    """Return the mean time of one question, µs."""
    known = whitelist(entries)
    cards = [card(n % entries if n % 2 else entries + n) for n in range(ASKED)]
    allowed = sum(known.decide(token, 1, NOW) is Verdict.ALLOWED for token in cards)
    if allowed != ASKED // 2:
        raise AssertionError(f"{allowed} of {ASKED} cards are allowed, {ASKED // 2} are on the list")

    def ask() -> None:
        for token in cards:
            known.decide(token, 1, NOW)

    return median_us(ask, rounds) / ASKED
