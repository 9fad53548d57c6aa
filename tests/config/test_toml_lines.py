"""The line of every key, against tomllib on hand-written corners and on generated documents."""

from __future__ import annotations

import tomllib
from typing import Any

import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.config.toml_lines import Lines, key_lines
from tests._support.examples import examples

CORNERS = """
a = 1 # x = 2
"quoted.key" = "[not]"
'lit' = 'it'
b.c.d = \"\"\"
[fake]
e = 2 \\"\"\" \"\"\"
b.c.f = \'\'\'
# g = 1
\'\'\'\'
[t.u]   # comment
k = [
  1, # one ]
  { x = 1, y = { z = "}" } },
  ["]", '#'],
]
[[rows]]
id = 1
[rows.sub]
v = 1979-05-27T07:32:00Z
[[rows.deep]]
q = +inf
[[rows.deep]]
q = 0xff
[[rows]]
id = 2
[[rows.deep]]
q = "\\"]"
"""


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found: list[tuple[str | int, ...]] = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths(inner, (*path, index))
    return found


def checked(text: str) -> Lines:
    lines = key_lines(text)
    data = tomllib.loads(text)
    assert set(paths(data)) == set(lines)
    rows = text.split("\n")
    for path, line in lines.items():
        name = path[-1]
        if isinstance(name, str) and name.isalnum() and name.isascii():
            assert name in rows[line - 1], (path, line, rows[line - 1])
    return lines


def test_corners() -> None:
    lines = checked(CORNERS)
    rows = CORNERS.split("\n")
    for path, start in {
        ("a",): "a = 1",
        ("b", "c", "f"): "b.c.f",
        ("t", "u", "k", 1, "y", "z"): "  { x",
        ("rows", 0, "sub", "v"): "v = 1979",
        ("rows", 0, "deep", 1, "q"): "q = 0xff",
        ("rows", 1, "id"): "id = 2",
        ("rows", 1, "deep", 0, "q"): 'q = "\\"]"',
    }.items():
        assert rows[lines[path] - 1].startswith(start)


KEYS = st.text(st.sampled_from("abcXYZ019-_"), min_size=1, max_size=4) | st.text(max_size=4)
VALUES = st.recursive(
    st.integers(-(2**60), 2**60)
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.datetimes().map(lambda d: d.replace(microsecond=0)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.lists(st.dictionaries(KEYS, inner, max_size=2), min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_every_key_of_a_generated_document_has_a_line(document: dict[str, Any]) -> None:
    text = tomlkit.dumps(document)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # the writer's mistake (control characters), not ours
    checked(text)
