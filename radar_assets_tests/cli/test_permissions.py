"""Permissions of Radar's files: other users have no access, and a group only has access to the landing zone if a setting names it."""

import grp
import os
import stat
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from radar_assets.collector.open_segments import OpenSegments
from radar_assets.events.landing import list_segments, write_segment
from radar_assets.events.local_zone import LocalFile
from radar_assets.settings import SettingsError, load_settings
from radar_assets.store.database import open_store
from radar_assets_tests.cli.conftest import Radar
from radar_assets_tests.platform import open_paths

HOUR = datetime(2026, 3, 1, 12)
GROUP = 2
"""Any group will do, since the tests run as root."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The umask of most users; Radar changes that of the process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def old_home(radar_home: Path) -> Path:
    """A home with the permissions of earlier versions."""
    for folder in ("cache", "dagster", "landing/dt=2026-03-01", "tmp", "warehouse"):
        (radar_home / folder).mkdir(parents=True)
    (radar_home / "radar.db-wal").touch()
    (radar_home / "radar.yaml").write_text("metrics: []\n")
    return radar_home


def test_commands_create_no_file_that_others_can_read(radar: Radar, radar_home: Path) -> None:
    for command in ("project add shop", "simulate --days 1 --projects 1 --events 100", "status"):
        assert radar(command).code == 0
    assert {path.name for path in radar_home.iterdir()} >= {"dagster", "landing", "radar.db", "warehouse"}
    assert open_paths(radar_home) == []


def test_a_home_of_an_earlier_version_is_closed_and_reported_once(
    old_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_settings().prepare()
    assert mode(old_home) == mode(old_home / "dagster") == mode(old_home / "landing") == 0o700
    assert mode(old_home / "radar.db-wal") == mode(old_home / "radar.yaml") == 0o600
    said = f"radar: other users no longer have access to {old_home} (was 0755)\n"
    assert capfd.readouterr().err == said
    load_settings().prepare()
    assert capfd.readouterr().err == ""


def test_in_a_folder_with_other_files_only_radars_own_are_closed(radar: Radar, old_home: Path, tmp_path: Path) -> None:
    (old_home / "site").mkdir()
    (tmp_path / "disk").mkdir()
    (old_home / "landing" / "dt=2026-03-01").rmdir()
    (old_home / "landing").rmdir()
    (old_home / "landing").symlink_to(tmp_path / "disk")
    run = radar("doctor")
    out = run.out
    files = ", ".join(
        f"{old_home / name} (was 0{access})"
        for name, access in (
            ("cache", 755),
            ("dagster", 755),
            ("radar.db-wal", 644),
            ("radar.yaml", 644),
            ("tmp", 755),
            ("warehouse", 755),
        )
    )
    assert run.err == f"radar: other users no longer have access to {files}\n"
    assert mode(old_home) == mode(old_home / "site") == mode(tmp_path / "disk") == 0o755
    assert mode(old_home / "warehouse") == 0o700
    assert mode(old_home / "radar.yaml") == 0o600
    assert f"home {old_home} is open to other users (0755)" in out
    assert f"Run chmod 700 {old_home}." in out
    assert f"landing zone {old_home / 'landing'} is open to other users (0755)" in out


def test_folders_outside_the_home_are_left_unchanged_and_reported(
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
    gid = GROUP if os.geteuid() == 0 else os.getgid()
    monkeypatch.setenv("RADAR_LANDING_GROUP", str(gid))
    settings = load_settings().prepare()
    collector = OpenSegments(settings.landing, max_bytes=1, max_age_s=60)
    collector.append(HOUR, b"{}\n")
    collector.roll()
    write_segment(settings.landing, HOUR.replace(hour=13), "a", [b"{}\n"])
    shared = [settings.landing, *settings.landing.glob("dt=*"), *settings.landing.glob("dt=*/hr=*")]
    segments = list(settings.landing.glob("dt=*/hr=*/*.ndjson"))
    assert (len(shared), len(segments)) == (4, 2)
    assert {mode(path) for path in shared} == {0o3770}
    assert {mode(path) for path in segments} == {0o640}
    assert {path.stat().st_gid for path in [old_home, *shared, *segments]} == {gid}
    # The group passes through the home, and can't read anything else in it.
    assert mode(old_home) == 0o710
    rest = [path for path in old_home.iterdir() if path.name != "landing"]
    assert {mode(path) & 0o077 for path in rest} == {0}
    assert mode(settings.landing / ".open") & 0o077 == 0
    assert "are closed to other users" in radar("doctor --all").out
    monkeypatch.delenv("RADAR_LANDING_GROUP")
    load_settings().prepare()
    assert mode(old_home) == mode(settings.landing) == 0o700


def test_a_folder_outside_the_home_is_opened_to_a_group_by_the_operator(
    radar: Radar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, group = tmp_path / "landing", grp.getgrgid(os.getgid()).gr_name
    landing.mkdir(0o700)
    monkeypatch.setenv("RADAR_LANDING_URL", f"file://{landing}")
    monkeypatch.setenv("RADAR_LANDING_GROUP", group)
    out = radar("doctor").out
    assert mode(landing) == 0o700
    assert f"the group {group} can't add segments to {landing}" in out
    assert f"Run chgrp {group} {landing} && chmod 3770 {landing}." in out
    landing.chmod(0o2770)
    assert mode(write_segment(landing, HOUR, "a", [b"{}\n"]).local_path) == 0o640
    out = radar("doctor").out
    assert f"the group {group} can remove the segments of other users from {landing}" in out
    assert f"Run chgrp {group} {landing} && chmod 3770 {landing}." in out
    landing.chmod(0o3770)
    assert "segments of other users" not in radar("doctor").out


def as_user(uid: int, act: Callable[[], object]) -> None:
    """Run a function in a process of another user, who is a member of `GROUP`."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([GROUP])
            os.setgid(uid)
            os.setuid(uid)
            os.umask(0o007)
            act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def drop(folder: Path) -> None:
    """Add a segment like a log shipper: under a temporary name, then renamed."""
    (folder / ".dropped").write_text('{"event_id": "a-1", "project_id": "shop"}\n')
    (folder / ".dropped").rename(folder / "dropped.ndjson")


def refused(landing: Path, command: str) -> None:
    """Check that a shell command fails in the landing zone."""
    assert subprocess.run(["sh", "-c", command], cwd=landing, check=False).returncode, command


@pytest.mark.skipif(os.geteuid() != 0, reason="tests of a group's members need root, to run processes as other users")
def test_members_of_the_group_can_add_segments_but_not_change_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    radar_uid, member_uid, later = 65533, 65534, HOUR.replace(hour=13)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "radar"
        home.mkdir()
        os.chown(home, radar_uid, radar_uid)
        Path(folder).chmod(0o711)
        monkeypatch.setenv("RADAR_HOME", str(home))
        monkeypatch.setenv("RADAR_LANDING_GROUP", str(GROUP))
        landing = load_settings().landing
        day = landing / "dt=2026-03-01"

        def write(hour: datetime) -> None:
            load_settings().prepare()
            collector = OpenSegments(landing, max_bytes=1, max_age_s=60)
            collector.append(hour, b"{}\n")
            collector.roll()
            write_segment(landing, hour, "own", [b"{}\n"])

        def read(hour: datetime) -> None:
            segments = list_segments(landing, hour)
            assert len(segments) == 3
            for segment in segments:
                with LocalFile(landing, segment.local_path).open() as file:
                    assert file.read().endswith(b"}\n")

        as_user(radar_uid, lambda: write(HOUR))
        as_user(member_uid, lambda: drop(day / "hr=12"))
        for command in (
            "echo x >> dt=2026-03-01/hr=12/own.ndjson",
            "rm -f dt=2026-03-01/hr=12/own.ndjson",
            "mv dt=2026-03-01/hr=12/own.ndjson dt=2026-03-01/hr=12/renamed.ndjson",
            "mv dt=2026-03-01/hr=12/dropped.ndjson dt=2026-03-01/hr=12/own.ndjson",
            "mv dt=2026-03-01/hr=12 dt=2026-03-01/hr=00",
            "mv dt=2026-03-01 dt=2026-03-02",
            "ls .open",
            "ls ..",
        ):
            as_user(member_uid, lambda command=command: refused(landing, command))
        # Radar also works in a folder that a member has created.
        as_user(member_uid, lambda: ((day / "hr=13").mkdir(), drop(day / "hr=13")))
        as_user(radar_uid, lambda: write(later))
        for hour in (HOUR, later):
            as_user(radar_uid, lambda hour=hour: read(hour))


def test_an_unknown_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADAR_LANDING_GROUP", "nonesuch")
    with pytest.raises(SettingsError, match="RADAR_LANDING_GROUP=nonesuch: not a group on this machine"):
        load_settings()
