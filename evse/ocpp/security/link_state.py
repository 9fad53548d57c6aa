"""Which settings of the link count, and what happens to a change: pure functions over one durable record.

A change is *staged*: the next connections try it. It becomes active when a BootNotification was accepted over it. After
``limit`` failed tries the active settings have their turn again; when the CSMS accepts the station there, the change is
given up and stays visible as such. When the active ones fail as often too, the fault is probably neither's (no network),
and the staged ones are tried again, and so on for ever: whichever works first is used. So no change locks a station out.
A new AuthorizationKey that the CSMS refuses (401) takes turns with the old one at once. One that is staged together with
something else (another URL) may be what the CSMS of the active settings wants already: where it refuses the old key, the
active settings are tried with the new one.
"""

from __future__ import annotations

import msgspec

from evse.units import WallNs

ACTIVE, STAGED = "active", "staged"
KEYED = "keyed"
"""The active settings with the key and user of the staged ones."""
TEXT_MAX = 300


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the CSMS is reached. ``url`` is without the charge point id; ``key`` and ``certificate`` name what the vault keeps."""

    url: str
    profile: int = 0
    key: str = ""
    certificate: str = ""
    user: str = ""  # beside the key; "" = the charge point id


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """A change that did not work."""

    url: str
    profile: int
    changed: str
    error: str
    at: WallNs


class LinkState(msgspec.Struct, frozen=True, kw_only=True):
    """The durable record. ``file_url`` and ``file_profile`` are what the configuration file said when it was last looked at."""

    active: LinkSettings
    file_url: str = ""
    file_profile: int = 0
    staged: LinkSettings | None = None
    staged_by: str = ""  # csms, local, file
    staged_at: WallNs = 0
    turn: str = ACTIVE
    tries: int = 0  # failed ones of the staged settings
    active_tries: int = 0  # failed ones of the active settings since they have their turn again
    last_error: str = ""  # of the staged settings
    given_up: GivenUp | None = None
    key_since: WallNs = 0  # when the active AuthorizationKey became active; 0 = never set
    proven: bool = False  # the active settings have been accepted by a CSMS


def newest(state: LinkState) -> LinkSettings:
    """Return the settings that a further change builds on."""
    return state.staged or state.active


def in_turn(state: LinkState) -> tuple[str, LinkSettings]:
    """Return which settings the next connection uses: (``active``, ``staged`` or ``keyed``, settings)."""
    if state.staged is not None and state.turn == STAGED:
        return STAGED, state.staged
    mixed = keyed(state)
    if mixed is not None and state.turn == KEYED:
        return KEYED, mixed
    return ACTIVE, state.active


def keyed(state: LinkState) -> LinkSettings | None:
    """Return the active settings with the key and user of the staged ones; None = that is nothing of its own."""
    if state.staged is None:
        return None
    mixed = msgspec.structs.replace(state.active, key=state.staged.key, user=state.staged.user)
    return None if mixed in (state.active, state.staged) else mixed


def stage(state: LinkState, settings: LinkSettings, by: str, wall: WallNs) -> LinkState:
    """Return the state with a change staged; the active settings themselves end a change that waits."""
    if settings == state.active:
        return _unstaged(state, None)
    return msgspec.structs.replace(
        state, staged=settings, staged_by=by, staged_at=wall, turn=STAGED, tries=0, active_tries=0, last_error="",
        given_up=None,
    )


def registered(state: LinkState, which: str, limit: int, wall: WallNs) -> LinkState:
    """Return the state after the CSMS has accepted the station over the settings ``which``."""
    staged = state.staged
    if staged is None:
        return msgspec.structs.replace(state, proven=True)
    if which == STAGED:
        key_since = wall if staged.key != state.active.key else state.key_since
        done = msgspec.structs.replace(state, active=staged, key_since=key_since, proven=True)
        return _unstaged(done, None)
    mixed = keyed(state) if which == KEYED else None
    if mixed is not None:  # the key was right, what was staged with it was not
        done = msgspec.structs.replace(state, active=mixed, key_since=wall, proven=True)
        text = GivenUp(url=staged.url, profile=staged.profile, changed=changed(done), error=state.last_error, at=wall)
        return _unstaged(done, text)
    if state.tries < limit or state.active_tries:
        tries = 0 if state.active_tries else state.tries
        return msgspec.structs.replace(state, turn=STAGED, active_tries=0, tries=tries, proven=True)
    text = GivenUp(url=staged.url, profile=staged.profile, changed=changed(state), error=state.last_error, at=wall)
    return _unstaged(msgspec.structs.replace(state, proven=True), text)


def failed(state: LinkState, which: str, error: str, *, refused: bool, limit: int) -> LinkState:
    """Return the state after a connection over ``which`` came to nothing; ``refused`` = the CSMS refused the credentials."""
    staged = state.staged
    if staged is None:
        return state
    if which == STAGED:
        tries = state.tries + 1
        bare, before = (msgspec.structs.replace(one, key="", certificate="", user="") for one in (staged, state.active))
        only_key = refused and bare == before
        turn = ACTIVE if tries >= limit or only_key else STAGED
        return msgspec.structs.replace(state, tries=tries, turn=turn, last_error=error[:TEXT_MAX])
    if state.tries < limit:
        return msgspec.structs.replace(state, turn=STAGED)
    active_tries = state.active_tries + (which == ACTIVE)
    if which == ACTIVE and refused and keyed(state) is not None:
        return msgspec.structs.replace(state, active_tries=active_tries, turn=KEYED)
    if active_tries < limit:
        return msgspec.structs.replace(state, active_tries=active_tries, turn=ACTIVE)
    return msgspec.structs.replace(state, turn=STAGED, tries=0, active_tries=0)


def changed(state: LinkState) -> str:
    """Return what a staged change changes, e.g. "URL, profile 1 to 2"."""
    before, after = state.active, state.staged
    if after is None:
        return ""
    parts = []
    if after.url != before.url:
        parts.append("URL")
    if after.profile != before.profile:
        parts.append(f"profile {before.profile} to {after.profile}")
    if after.key != before.key:
        parts.append("AuthorizationKey")
    if after.user != before.user:
        parts.append("AuthorizationUser")
    if after.certificate != before.certificate:
        parts.append("certificate of the station")
    return ", ".join(parts)


def _unstaged(state: LinkState, given_up: GivenUp | None) -> LinkState:
    return msgspec.structs.replace(
        state, staged=None, staged_by="", staged_at=0, turn=ACTIVE, tries=0, active_tries=0, last_error="",
        given_up=given_up,
    )
