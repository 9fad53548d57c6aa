"""Why a connector of a problem document gets what it gets, and what would have to change for more.

A statement about "more" is made by solving the problem again with that one thing changed, never by reasoning about it:
what it says is therefore true. `evse.planner.why_ac` and `evse.planner.why_dc` know the caps of their kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from evse.domain.base import Frozen

ASKED_MAX = 64
"""Connectors of a document for which "more" is worked out unasked; each costs some dozens of plans."""

DOUBLINGS_MAX = 16


class Cap(Frozen, frozen=True, kw_only=True):
    """One cap of a connector: its name, value and use in words. ``binds`` = it is why there is no more."""

    name: str
    text: str
    binds: bool


class Why(Frozen, frozen=True, kw_only=True):
    """One connector: the sentence, all its caps (binding ones first), and what would give it more ("" = not asked)."""

    id: str
    text: str
    caps: tuple[Cap, ...]
    more: tuple[str, ...] = ()


class Change(Frozen, frozen=True, kw_only=True):
    """Something that could be changed by an amount: ``words(amount)`` says it, ``gains(amount)`` tries it."""

    gains: Callable[[int], bool]
    words: Callable[[int], str]
    first: int
    fine: int


def least(change: Change) -> int | None:
    """Return an amount that is enough: doubled from ``first`` until it is, then halved down to steps of ``fine``.

    None when even ``first * 2 ** DOUBLINGS_MAX`` is not enough.
    """
    enough = change.first
    for _ in range(DOUBLINGS_MAX):
        if change.gains(enough):
            break
        enough *= 2
    else:
        return None
    short = 0 if enough == change.first else enough // 2
    while enough - short > change.fine:
        middle = max(short + change.fine, (short + enough) // 2 // change.fine * change.fine)
        if middle >= enough:
            break
        if change.gains(middle):
            enough = middle
        else:
            short = middle
    return enough


def ways(alone: Iterable[Change], *together: Change) -> tuple[str, ...]:
    """Return every single change that is enough, in words; when none is, the first of ``together`` that is."""
    found = [(amount, change) for change in alone if (amount := least(change)) is not None]
    for change in () if found else together:
        amount = least(change)
        if amount is not None:
            return (change.words(amount),)
    return tuple(change.words(amount) for amount, change in found)


def ordered(caps: Sequence[Cap]) -> tuple[Cap, ...]:
    """Binding ones first, each part in the order given."""
    return tuple(sorted(caps, key=lambda cap: not cap.binds))


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
