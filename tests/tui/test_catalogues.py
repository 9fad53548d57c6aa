"""Texts: complete in every language, only characters of the console font; keys every carrier lets through; themes."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.binding import Binding

import tui
from evse.core import session
from evse.core.ac import machine, over_current, ventilation
from evse.domain.faults import FaultCode
from evse.domain.limits import LimitSource
from evse.domain.session import AuthSource, OperationalStatus, SessionPhase, StopReason
from evse.domain.view import EvseView
from tests.tui import ac_data as ac
from tui import format as fmt
from tui.admin import registry
from tui.admin.app import AdminApp, SignInScreen
from tui.driver.glyphs import CONSOLE_CHARS, CP437_CHARS, GLYPHS, GlyphSet, Translator
from tui.driver.profiles import choose_profile
from tui.i18n import LANGUAGES, Translate, catalogue
from tui.keymap import allowed
from tui.kiosk.app import KioskApp
from tui.kiosk.model import say_key
from tui.theme import ROLES, ROLES_MONO
from tui.words import AUTH_SOURCES, MARKS, REASONS, SERVICE, SOURCES, STATES, WAITS


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_has_every_key_and_the_same_placeholders(language: str) -> None:
    english, texts = catalogue("en"), catalogue(language)
    assert texts.keys() == english.keys()
    for key, text in texts.items():
        assert sorted(re.findall(r"{(\w+)}", text)) == sorted(re.findall(r"{(\w+)}", english[key])), key
        assert text.strip(), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_use_only_characters_of_the_console_font(language: str) -> None:
    for key, text in catalogue(language).items():
        assert set(text) <= CONSOLE_CHARS, f"{language}:{key}: {set(text) - CONSOLE_CHARS}"


def test_every_state_reason_limit_and_fault_has_a_text() -> None:
    keys = catalogue("en")
    for phase in [*(p.value for p in SessionPhase), "reserved"]:
        assert f"phase.{phase}" in keys and f"say.{phase}" in keys and phase in MARKS
    groups = (("reason", StopReason), ("source", AuthSource), ("limit", LimitSource), ("fault", FaultCode))
    for prefix, members in groups:
        for member in members:
            assert f"{prefix}.{member.value}" in keys


def test_every_key_that_the_code_asks_for_exists() -> None:
    source = "".join(file.read_text() for file in (Path(tui.__file__).parent / "kiosk").glob("*.py"))
    asked = set(re.findall(r'tr\("([a-z_0-9.]+)"[,)]', source)) | set(WAITS.values())
    asked |= set(re.findall(r'"((?:wait|say|title)\.[a-z_0-9]+)"', source))
    assert len(asked) > 60
    assert asked <= catalogue("en").keys(), asked - catalogue("en").keys()


def test_unknown_language_falls_back_to_english_and_the_key_walks_through_all() -> None:
    tr = Translate("xx")
    assert tr.language == "en"
    seen = []
    for _ in LANGUAGES:
        seen.append(tr.language)
        tr = Translate(tr.next_language())
    assert sorted(seen) == sorted(LANGUAGES)
    assert tr("no.such.key") == "no.such.key"


@pytest.mark.parametrize("glyph_set", [GlyphSet.CP437, GlyphSet.ASCII])
def test_last_defence_translates_every_character_one_to_one_into_the_font(glyph_set: GlyphSet) -> None:
    translator = Translator(glyph_set)
    font = CP437_CHARS if glyph_set is GlyphSet.CP437 else frozenset(map(chr, range(0x20, 0x7F)))
    for code in [*range(0x20, 0x7F), *range(0xA0, 0x250), *range(0x2010, 0x2040), *range(0x2190, 0x2600)]:
        shown = translator[chr(code)]
        assert len(shown) == 1 and shown in font, hex(code)
    assert len(translator) <= 4096


def test_drawing_characters_of_a_repertoire_are_inside_it() -> None:
    ascii_font = frozenset(map(chr, range(0x20, 0x7F)))
    for glyph_set, font in ((GlyphSet.CP437, CP437_CHARS), (GlyphSet.ASCII, ascii_font)):
        glyphs = GLYPHS[glyph_set]
        parts = (
            glyphs.levels + glyphs.full + glyphs.empty + glyphs.rule + glyphs.vertical + glyphs.marker + glyphs.degree
        )
        assert set(parts) <= font


def test_styles_no_banned_border_and_no_rgb() -> None:
    types = "tall|thick|outer|round|heavy|wide|hkey|vkey|panel|inner"
    banned = re.compile(rf"border[^;]*\b({types})\b|rgb\(|#[0-9a-f]{{6}}|opacity|tint")
    files = [*Path(tui.__file__).parent.rglob("*.py"), *Path(tui.__file__).parent.rglob("*.tcss")]
    style = re.compile(r'CSS(?:: \w+)? = (?:"""(.*?)"""|"(.*?)")', re.S)
    css = [text for file in files for text in style.findall(file.read_text())]
    assert len(css) >= 4
    for text in css:
        assert not banned.search("".join(text)), text


def test_mono_theme_has_no_colour_and_the_same_roles() -> None:
    assert ROLES.keys() == ROLES_MONO.keys()
    assert all(style.color is None and style.bgcolor is None for style in ROLES_MONO.values())
    assert ROLES_MONO["fault"].reverse and ROLES_MONO["warn"].bold


def all_bindings() -> list[Binding]:
    screens = [registry.screen_for(p.id) for p in registry.places()]
    owners: list[Any] = [AdminApp, KioskApp, SignInScreen, *screens]
    return [b for owner in owners for b in owner.BINDINGS if isinstance(b, Binding)]


def test_every_binding_has_an_id_and_keys_that_every_carrier_lets_through() -> None:
    bindings = all_bindings()
    assert len({b.id for b in bindings}) == len(bindings)
    for binding in bindings:
        keys = [k.strip() for k in binding.key.split(",")]
        assert binding.id and all(allowed(k) for k in keys), binding
        special = [k for k in keys if k.startswith("ctrl+") or re.fullmatch(r"f\d+", k)]
        assert not special or len(keys) > len(special), f"{binding.id}: {special} needs a letter twin"


def test_sections_do_not_shadow_navigation_and_one_key_does_one_thing() -> None:
    common = {k.strip() for b in AdminApp.BINDINGS if isinstance(b, Binding) for k in b.key.split(",")}
    for place in registry.places():
        bindings = [b for b in registry.screen_for(place.id).BINDINGS if isinstance(b, Binding)]
        own = [k.strip() for b in bindings for k in b.key.split(",")]
        assert len(own) == len(set(own)), place.id
        assert not common & set(own), f"{place.id}: {common & set(own)}"


def test_a_place_is_taken_once_and_unknown_places_are_refused() -> None:
    class Other(registry.screen_for("faults")):  # type: ignore[misc]
        pass

    with pytest.raises(ValueError, match="taken"):
        registry.register(Other)
    Other.SECTION = "nowhere"
    with pytest.raises(ValueError, match="no place"):
        registry.register(Other)


def test_section_bar_shows_the_current_one_at_every_width() -> None:
    for width in (20, 30, 58, 80):
        for place in registry.places():
            pieces = registry.bar(width, place.id, {"faults": "(3)"})
            text = "".join(piece for piece, _ in pieces)
            assert len(text) <= width
            assert next(p for p, role in pieces if role == "cursor").startswith(f"{place.key} {place.title}")


def test_profiles_follow_the_terminal(tmp_path: Path) -> None:
    fd = (tmp_path / "x").open("w").fileno()
    linux = choose_profile({"TERM": "linux", "LANG": "C.UTF-8"}, fd)
    assert (linux.glyph_set, linux.encoding, linux.mono) == (GlyphSet.CP437, "utf-8", False)
    vt = choose_profile({"TERM": "vt220"}, fd, baud=9600)
    assert (vt.glyph_set, vt.encoding, vt.mono, vt.rate_bps, vt.refresh_s) == (GlyphSet.ASCII, "ascii", True, 768, 5.0)
    assert choose_profile({"TERM": "xterm-256color", "LANG": "de_DE.UTF-8"}, fd).glyph_set is GlyphSet.UTF8
    assert choose_profile({"TERM": "xterm", "LANG": "C.UTF-8", "NO_COLOR": "1"}, fd).mono
    assert choose_profile({"TERM": "dumb"}, fd).plain
    assert choose_profile({"TERM": "vt220", "LANG": "C"}, fd, name="cp437").encoding == "cp437"


def test_numbers_say_unknown_and_mask_identities() -> None:
    assert fmt.kw(None) == fmt.volt(None) == fmt.percent(None) == fmt.duration(None) == fmt.NONE
    assert fmt.with_unit(fmt.kw(None), "kW") == fmt.NONE
    assert (fmt.kw(17_640), fmt.kwh(1_330), fmt.volt(336_400), fmt.celsius(-12)) == ("17.6", "1.33", "336", "-1.2")
    assert [fmt.duration(s) for s in (278, 27_000, 90_000)] == ["04m 38s", "7h 30m", "1d 01h"]
    assert fmt.masked("04A3B2C1D0E5F6") == "****E5F6"
    assert "1234" not in fmt.masked("1234")


def test_the_console_has_a_word_of_fitting_length_for_every_name() -> None:
    assert STATES.keys() == MARKS.keys()
    tables: tuple[tuple[type[Enum], dict[Any, str], int], ...] = (
        (LimitSource, SOURCES, 12),
        (AuthSource, AUTH_SOURCES, 8),
        (StopReason, REASONS, 14),
        (OperationalStatus, SERVICE, 14),
    )
    for members, words, size in tables:
        assert set(members) == set(words), members
        assert all(0 < len(word) <= size for word in words.values()), members
    assert all(len(word) <= 14 and "_" not in word for word in STATES.values())


def reasons_to_wait(function: Callable[..., str]) -> set[str]:
    """Fixed texts that a function of the core returns."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            found |= {x.value for x in ast.walk(node.value) if isinstance(x, ast.Constant) and isinstance(x.value, str)}
    return found - {""}


def test_whatever_an_ac_connector_waits_for_has_a_text_for_drivers() -> None:
    said = {"a charging cable that is accepted here"}  # set, not returned
    for function in (session.obstacle, machine.obstacle, machine.interlock, machine._pause, ventilation.refused, over_current.pause):
        said |= reasons_to_wait(function)
    said = {text for text in said if not text.startswith("fault ")}  # such a connector shows its fault
    assert len(said) > 20
    assert said <= WAITS.keys(), said - WAITS.keys()


@pytest.mark.parametrize(
    ("view", "key"),
    [
        (ac.ac_idle(1), "say.idle"),
        (ac.ac_idle(1, auth_state="granted"), "say.granted"),
        (ac.ac_waiting(1, "a card or a start from the app", SessionPhase.WAIT_AUTH), "say.wait_auth"),
        (msgspec.structs.replace(ac.ac_waiting(1, "the vehicle"), auth_state="denied"), "say.denied"),
        (ac.ac_waiting(1, "the plug lock", SessionPhase.SUSPENDED), "wait.lock"),
        (ac.ac_waiting(1, "the vehicle", SessionPhase.SUSPENDED, pause="the external release"), "wait.release"),
        (ac.ac_waiting(1, "", SessionPhase.SUSPENDED, offered_ma=5_900), "wait.power"),
        (ac.ac_waiting(1, "", SessionPhase.SUSPENDED, offered_ma=6_000), "wait.full"),
        (ac.ac_waiting(1, "something new", SessionPhase.PLUGGED), "wait.moment"),
        (ac.ac_charging(1), "say.charging"),
        (ac.ac_faulted(1), "say.faulted"),
    ],
)
def test_what_a_driver_is_told_at_an_ac_connector(view: EvseView, key: str) -> None:
    assert say_key(view) == key and key in catalogue("en")
