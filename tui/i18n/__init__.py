"""Message catalogues of the driver's screens: one TOML file per language, same keys in each, stable ids.

Only characters of code page 437 and Latin-1, the fonts of the Linux console (a test checks). Keys to press are never
translated. The technician's console speaks English like the manuals of the devices.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Final

LANGUAGES: Final[tuple[str, ...]] = ("en", "de", "fr")


def _flatten(table: dict[str, object], prefix: str, out: dict[str, str]) -> dict[str, str]:
    for key, value in table.items():
        if isinstance(value, dict):
            _flatten(value, f"{prefix}{key}.", out)
        else:
            out[prefix + key] = str(value)
    return out


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return key -> text of a language. Raises FileNotFoundError for a language without a catalogue."""
    with (Path(__file__).parent / f"{language}.toml").open("rb") as file:
        return _flatten(tomllib.load(file), "", {})


class Translate:
    """``tr("home.hello", phone=...)`` in one language; English where a key is missing, then the key itself."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else LANGUAGES[0]
        self._texts = catalogue(self.language)
        self._fallback = catalogue(LANGUAGES[0])

    def __call__(self, key: str, **values: object) -> str:
        text = self._texts.get(key) or self._fallback.get(key) or key
        return text.format(**values) if values else text

    def next_language(self) -> str:
        """The language that the language key chooses next."""
        return LANGUAGES[(LANGUAGES.index(self.language) + 1) % len(LANGUAGES)]
