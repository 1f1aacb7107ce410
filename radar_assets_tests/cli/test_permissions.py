"""Who may read what Radar keeps: other users nothing, whatever started the process, and a group the landing zone if it is named."""

import grp
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from radar_assets.collector.open_segments import OpenSegments
from radar_assets.events.landing import write_segment
from radar_assets.settings import SettingsError, load_settings
from radar_assets.store.database import open_store
from radar_assets_tests.cli.conftest import Radar
from radar_assets_tests.platform import open_paths

HOUR = datetime(2026, 3, 1, 12)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """What most users have; Radar changes that of the process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def old_home(radar_home: Path) -> Path:
    """A home as earlier versions left it."""
    for folder in ("cache", "dagster", "landing/dt=2026-03-01", "tmp", "warehouse"):
        (radar_home / folder).mkdir(parents=True)
    (radar_home / "radar.db-wal").touch()
    (radar_home / "radar.yaml").write_text("metrics: []\n")
    return radar_home


def test_a_command_makes_nothing_that_others_can_read(radar: Radar, radar_home: Path) -> None:
    for command in ("project add shop", "simulate --days 1 --projects 1 --events 100", "status"):
        assert radar(command).code == 0
    assert {path.name for path in radar_home.iterdir()} >= {"dagster", "landing", "radar.db", "warehouse"}
    assert open_paths(radar_home) == []


def test_a_home_of_an_earlier_version_is_closed_and_that_is_said_once(
    old_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_settings().prepare()
    assert mode(old_home) == mode(old_home / "dagster") == mode(old_home / "landing") == 0o700
    assert mode(old_home / "radar.db-wal") == mode(old_home / "radar.yaml") == 0o600
    said = f"radar: {old_home} was open to other users (0755) and is now closed\n"
    assert capfd.readouterr().err == said
    load_settings().prepare()
    assert capfd.readouterr().err == ""


def test_only_what_is_radars_is_closed_in_a_folder_that_holds_other_things(
    radar: Radar, old_home: Path, tmp_path: Path
) -> None:
    (old_home / "site").mkdir()
    (tmp_path / "disk").mkdir()
    (old_home / "landing" / "dt=2026-03-01").rmdir()
    (old_home / "landing").rmdir()
    (old_home / "landing").symlink_to(tmp_path / "disk")
    out = radar("doctor").out
    assert mode(old_home) == mode(old_home / "site") == mode(tmp_path / "disk") == 0o755
    assert mode(old_home / "warehouse") == 0o700
    assert mode(old_home / "radar.yaml") == 0o600
    assert f"home {old_home} is open to other users (0755)" in out
    assert f"Run chmod 700 {old_home}." in out
    assert f"landing zone {old_home / 'landing'} is open to other users (0755)" in out


def test_folders_elsewhere_are_left_as_they_are_and_reported(
    radar: Radar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, variable in (("landing", "RADAR_LANDING_URL"), ("warehouse", "RADAR_WAREHOUSE_URL")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, f"file://{tmp_path / name}")
    database = tmp_path / "elsewhere.db"
    monkeypatch.setenv("RADAR_DATABASE_URL", f"sqlite:///{database}")
    open_store(load_settings().prepare().database).close()
    assert mode(database) == 0o600
    database.chmod(0o640)
    out = radar("doctor").out
    assert mode(tmp_path / "landing") == mode(tmp_path / "warehouse") == 0o755
    for name, path, access in (("landing zone", "landing", 755), ("warehouse", "warehouse", 755)):
        assert f"{name} {tmp_path / path} is open to other users (0{access})" in out
        assert f"Run chmod 700 {tmp_path / path}." in out
    assert f"database {database} is open to other users (0640)" in out
    assert f"Run chmod 600 {database}." in out
    assert "home" not in [text.split()[1] for text in out.splitlines() if "is open to other users" in text]


def test_a_group_may_add_segments_when_the_setting_names_it(
    radar: Radar, old_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gid = 2 if os.geteuid() == 0 else os.getgid()
    monkeypatch.setenv("RADAR_LANDING_GROUP", str(gid))
    settings = load_settings().prepare()
    collector = OpenSegments(settings.landing, most_bytes=1, most_age_s=60)
    collector.append(HOUR, b"{}\n")
    collector.roll()
    write_segment(settings.landing, HOUR.replace(hour=13), "a", [b"{}\n"])
    shared = [settings.landing, *settings.landing.glob("dt=*"), *settings.landing.glob("dt=*/hr=*")]
    segments = list(settings.landing.glob("dt=*/hr=*/*.ndjson"))
    assert (len(shared), len(segments)) == (4, 2)
    assert {mode(path) for path in shared} == {0o2770}
    assert {mode(path) for path in segments} == {0o660}
    assert {path.stat().st_gid for path in [old_home, *shared, *segments]} == {gid}
    # The group passes through the home, in which all else is closed to it.
    assert mode(old_home) == 0o710
    rest = [path for path in old_home.iterdir() if path.name != "landing"]
    assert {mode(path) & 0o077 for path in rest} == {0}
    assert mode(settings.landing / ".open") & 0o077 == 0
    assert "are closed to other users" in radar("doctor").out
    monkeypatch.delenv("RADAR_LANDING_GROUP")
    load_settings().prepare()
    assert mode(old_home) == mode(settings.landing) == 0o700


def test_a_folder_elsewhere_is_opened_to_a_group_by_the_operator(
    radar: Radar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, group = tmp_path / "landing", grp.getgrgid(os.getgid()).gr_name
    landing.mkdir(0o700)
    monkeypatch.setenv("RADAR_LANDING_URL", f"file://{landing}")
    monkeypatch.setenv("RADAR_LANDING_GROUP", group)
    out = radar("doctor").out
    assert mode(landing) == 0o700
    assert f"the group {group} can't add segments to {landing}" in out
    assert f"Run chgrp {group} {landing} && chmod 2770 {landing}." in out
    landing.chmod(0o2770)
    assert mode(write_segment(landing, HOUR, "a", [b"{}\n"]).local_path) == 0o660
    assert "can't add segments" not in radar("doctor").out


def test_a_group_that_is_unknown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADAR_LANDING_GROUP", "nonesuch")
    with pytest.raises(SettingsError, match="RADAR_LANDING_GROUP=nonesuch: not a group on this machine"):
        load_settings()
