"""Saving: comments stay, a failure leaves the old file, backups are bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from evse.config import save
from evse.config.load import load_config
from evse.config.options import redact
from evse.config.save import backups, prune_backups, save_config, set_values, write_atomic
from evse.domain.base import ConfigError, DeviceError
from evse.units import NS_PER_S
from tests.config.test_load import GOOD

START = 1_767_225_600 * NS_PER_S
DAY = 86_400 * NS_PER_S


def test_changes_keep_comments_and_layout() -> None:
    text = GOOD.replace("limit_w = 60_000", "limit_w = 60_000  # transformer")
    new = set_values(text, {"site.limit_w": 50_000, "evse[2].free_charging": True, "ocpp.heartbeat_s": 60})
    assert "limit_w = 50000  # transformer" in new
    assert new.count("free_charging = true") == 1
    assert new.index("free_charging") > new.index("id = 2")
    assert "[ocpp]\nheartbeat_s = 60" in new
    assert set_values(new, {"evse[2].free_charging": None, "site.limit_w": 60_000}).count("free_charging") == 0


def test_unknown_options_and_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"site\.limit_kw: there is no such option"):
        set_values(GOOD, {"site.limit_kw": 3})
    with pytest.raises(ConfigError, match=r"there is no evse\[7\]"):
        set_values(GOOD, {"evse[7].power_max_w": 60_000})


def test_save_writes_backs_up_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    assert save_config(path, GOOD, START) is None
    new = set_values(GOOD, {"site.limit_w": 50_000})
    backup = save_config(path, new, START + NS_PER_S)
    assert backup is not None
    assert backup.read_text(encoding="utf-8") == GOOD
    assert load_config(path).site.limit_w == 50_000
    assert save_config(path, new, START + 2 * NS_PER_S) is None
    assert backups(path) == [backup]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_invalid_text_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    save_config(path, GOOD, START)
    with pytest.raises(ConfigError):
        save_config(path, GOOD.replace("limit_w = 60_000", "limit_kw = 60"), START)
    assert path.read_text(encoding="utf-8") == GOOD
    assert backups(path) == []


def test_ten_backups_and_thirty_days(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    for i in range(14):
        save_config(path, set_values(GOOD, {"site.limit_w": 50_000 + i}), START + i * DAY)
    kept = backups(path)
    assert len(kept) == 10
    assert "50012" in kept[0].read_text(encoding="utf-8")
    gone = prune_backups(path, START + 40 * DAY)
    assert len(gone) + len(backups(path)) == 10
    assert len(backups(path)) == 4  # days 10..13 are younger than 30 days on day 40


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "station.toml"
    write_atomic(path, GOOD)
    full = OSError(28, "No space left on device")

    def fail(*_: object) -> None:
        raise full

    for step in ("_write_synced", "_sync_directory"):
        with monkeypatch.context() as patch:
            patch.setattr(save, step, fail)
            with pytest.raises(DeviceError, match="No space left on device; check free space"):
                write_atomic(path, "new" if step == "_write_synced" else GOOD)
        assert path.read_text(encoding="utf-8") == GOOD


def test_secrets_are_hidden_in_the_text_for_people() -> None:
    text = GOOD + '\n[ocpp]\nurl = "wss://joe:hunter2@example.org/x" # note\npassword = "hunter2"\n'
    shown = redact(text)
    assert "hunter2" not in shown
    assert 'url = "wss://***@example.org/x" # note' in shown
    assert redact(GOOD) == GOOD
