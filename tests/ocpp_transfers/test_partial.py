"""A file that arrives in pieces: what counts after a power cut, what a full or broken medium does."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.ocpp.transfers import partial
from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.partial import PartFile, Saved
from tests._support.examples import examples
from tests.ocpp_transfers.support import Saves, blob


def write(part: PartFile, content: bytes, total: int | None = None) -> None:
    async def main() -> None:
        await part.open()
        await part.begin(part.size, total, "v")
        for at in range(part.size, len(content), 1000):
            await part.write(content[at : at + 1000])

    asyncio.run(main())


def test_what_was_not_synced_does_not_count_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "SYNC_BYTES", 5000)
    content = blob(12_345)
    saves = Saves(tmp_path / "sub" / "part")
    write(saves.again(), content)
    assert saves.saved.synced == 10_000
    with saves.path.open("r+b") as file:  # the length is there, the content is not
        file.seek(10_000)
        file.write(b"\0" * 2345)
    again = saves.again()
    asyncio.run(again.open())
    assert again.size == 10_000
    write(again, content)
    asyncio.run(again.finish())
    assert saves.path.read_bytes() == content
    assert saves.saved == Saved(synced=len(content), total=len(content), validator="v")


def test_a_file_that_is_shorter_than_it_should_be_begins_again(tmp_path: Path) -> None:
    saves = Saves(tmp_path / "part")
    saves.path.write_bytes(b"abc")
    saves.saved = Saved(synced=10, total=20, validator="v")
    part = saves.again()
    asyncio.run(part.open())
    assert part.size == 0


@settings(max_examples=examples(30), deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_any_sequence_of_cuts_gives_the_file_in_the_end(seed: int, cuts: int) -> None:
    import tempfile

    rng = Random(seed)
    content = blob(20_000, seed)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(partial, "SYNC_BYTES", 3000)
        saves = Saves(Path(folder) / "part")
        for _ in range(cuts):
            part = saves.again()
            asyncio.run(part.open())
            write(part, content[: max(part.size, rng.randrange(len(content)))], len(content))
            length = saves.path.stat().st_size
            lost = rng.randint(0, max(0, length - saves.saved.synced))
            with saves.path.open("r+b") as file:  # some of what was not synced is lost, some is garbage
                file.truncate(length - lost)
                file.seek(saves.saved.synced)
                file.write(b"\0" * (length - lost - saves.saved.synced))
        part = saves.again()
        write(part, content, len(content))
        asyncio.run(part.finish())
        assert saves.path.read_bytes() == content


def test_too_large_and_too_little_room_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Saves(tmp_path / "part", size_max=1000).again()
    with pytest.raises(TransferError, match=r"firmware\.max_mib") as caught:
        write(part, b"", total=1001)
    assert caught.value.why is Why.SIZE
    with pytest.raises(TransferError, match="max_mib"):
        write(part, b"x" * 1001)
    part = Saves(tmp_path / "other").again()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=partial.RESERVE_BYTES + 10))
    write(part, b"", total=10)
    with pytest.raises(TransferError, match="make room") as caught:
        write(part, b"", total=11)
    assert caught.value.why is Why.SIZE


def test_a_medium_that_fails_is_told_and_may_be_tried_again(tmp_path: Path) -> None:
    failing = True

    async def offload(job: Callable[[], object]) -> object:
        if failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return job()

    part = PartFile(
        tmp_path / "part", Saved(), size_max=1 << 20, offload=offload, save=Saves(tmp_path / "x").save,  # type: ignore[arg-type]
    )
    with pytest.raises(TransferError, match="No space left") as caught:
        asyncio.run(part.open())
    assert caught.value.why is Why.MEDIUM
    assert not caught.value.why.final
    failing = False
    write(part, b"abc", 3)
    asyncio.run(part.finish())
    assert (tmp_path / "part").read_bytes() == b"abc"


def test_an_end_before_the_end_is_a_broken_line_and_too_much_begins_again(tmp_path: Path) -> None:
    saves = Saves(tmp_path / "part")
    part = saves.again()
    write(part, b"abc", 5)
    with pytest.raises(TransferError, match="3 of 5 bytes") as caught:
        asyncio.run(part.finish())
    assert caught.value.why is Why.LINE
    assert part.size == 3
    write(part, b"abcdefgh", 5)
    with pytest.raises(TransferError, match="8 of 5 bytes"):
        asyncio.run(part.finish())
    assert part.size == 0
    assert saves.saved == Saved()
