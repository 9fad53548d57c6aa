"""Everything that is generated from the command tree is up to date, complete and clean."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from evsectl import docs, exits, topics
from evsectl.tree import TREE

ROOT = Path(__file__).resolve().parent.parent.parent


def test_generated_files_are_up_to_date() -> None:
    different = [path for path, text in docs.outputs(ROOT).items() if path.read_text(encoding="utf-8") != text]
    assert different == [], "run: make docs"


def test_there_is_a_page_for_every_command_and_none_too_many() -> None:
    expected = {f"{'-'.join(['evsectl', *path.split()])}.1" for path in TREE}
    assert {path.name for path in (ROOT / "man" / "man1").iterdir()} == expected


def test_generating_twice_gives_the_same() -> None:
    assert docs.outputs(ROOT) == docs.outputs(ROOT)


def test_pages_are_without_warnings() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    pages = sorted(str(p) for n in (1, 7, 8) for p in (ROOT / "man" / f"man{n}").iterdir())
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", *pages], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_of_exit_codes_has_them_all() -> None:
    page = (ROOT / "man" / "man7" / "evsectl-exit-codes.7").read_text(encoding="utf-8")
    for code in exits.TEXTS:
        assert f".B {code}\n" in page


def test_docs_name_every_command_and_variable() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for path, node in TREE.items():
        assert f"evsectl {path}".strip() in text
        assert node["commands"] or f"### `evsectl {path}" in text
    for name, _ in topics.ENVIRONMENT:
        assert f"`{name}`" in text


def test_the_daemon_s_page_has_all_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    from evse.runtime.main import main

    with pytest.raises(SystemExit):
        main(["--help"])
    page = (ROOT / "man" / "man8" / "evsed.8").read_text(encoding="utf-8").replace("\\-", "-")
    options = {word.strip("[],") for word in capsys.readouterr().out.split() if word.startswith(("--", "[--"))}
    assert {option for option in options - {"--help"} if option not in page} == set()
