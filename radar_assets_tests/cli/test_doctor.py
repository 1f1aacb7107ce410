"""`radar doctor`: each problem is found, and each finding suggests a fix."""

import json
import os
import re
import shutil
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from radar_assets.access import audit
from radar_assets.cli.ui_address import recorded_ui
from radar_assets.events.landing import write_segment
from radar_assets.lakehouse.files import local_path_of
from radar_assets.orchestration.runtime import code_location
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.tables import open_lakehouse
from radar_assets.windows import utc_now
from radar_assets_tests.cli.conftest import Radar
from radar_assets_tests.daemons import daemon, monitored_instance
from radar_assets_tests.patience import eventually


def findings(out: str) -> dict[str, list[str]]:
    """The findings by level; those without one by the heading above them."""
    found: dict[str, list[str]] = {"warning": [], "error": []}
    heading = ""
    for text in out.splitlines():
        level, _, what = text.partition(" ")
        if level in found:
            found[level].append(what.strip())
        elif text.startswith("  ") and heading:
            found.setdefault(heading, []).append(text.strip())
        elif not text.startswith(" "):
            heading = text
    return found


SETTINGS = "Settings that differ from the default"


def test_problems_come_first_then_settings_that_differ_from_the_default(
    radar: Radar, in_shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_SEGMENT_MB", "8")
    monkeypatch.setenv("RADAR_ENGINE", "duckdb")
    run = radar("doctor")
    lines, found = run.out.splitlines(), findings(run.out)
    assert (run.code, found["error"]) == (0, [])
    assert [line.split()[0] for line in lines if line and line[0] != " "][: len(found["warning"]) + 1] == [
        *["warning"] * len(found["warning"]),
        "Settings",
    ]
    assert found[SETTINGS] == [f"RADAR_HOME = {in_shop}", "RADAR_SEGMENT_MB = 8"]
    assert "project silent has no events" in found["warning"]
    assert "the daemon has never run" in found["warning"]
    after = lines[lines.index("warning  the daemon has never run") + 1]
    assert after == "         Start it with radar dev. Until then nothing is loaded automatically."
    assert re.fullmatch(r"\d+ checks passed and \d+ settings have their default; --all lists them\.", lines[-1])


def test_the_rest_is_listed_on_request(radar: Radar, in_shop: Path) -> None:
    found = findings(radar("doctor --all").out)
    assert "1 of 2 projects have events" in found["Passed"]
    assert "home, database, landing zone and warehouse are closed to other users" in found["Passed"]
    assert "RADAR_ENGINE = duckdb" in found["Settings with their default"]
    assert "RADAR_SMTP_URL = not set" in found["Settings with their default"]


def test_findings_are_data_on_request(radar: Radar, in_shop: Path) -> None:
    rows = json.loads(radar("doctor --format json").out)
    assert {row["level"] for row in rows} == {"warning", "setting"}
    assert all(row["fix"] for row in rows if row["level"] == "warning")
    assert radar("doctor --all --format csv").out.startswith("level,finding,fix\nwarning,")


def test_rejected_lines_of_unknown_projects_are_found(radar: Radar, in_shop: Path) -> None:
    out = radar("doctor").out
    assert any(what.startswith("1 line of project blog was rejected") for what in findings(out)["warning"])
    assert "radar project add 'blog'" in out
    assert "radar replay-rejected --reason unknown_project" in out


def test_invalid_settings_are_errors(radar: Radar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADAR_THREADS", "none")
    monkeypatch.setenv("RADAR_LANDING_URL", "ftp://example.com")
    run = radar("doctor")
    assert run.code == 1
    assert [what.partition("=")[0] for what in findings(run.out)["error"]] == ["RADAR_LANDING_URL", "RADAR_THREADS"]


def test_an_unreachable_database_is_an_error_without_its_password(
    radar: Radar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_DATABASE_URL", "postgresql://radar:secret@127.0.0.1:1/radar")
    run = radar("doctor")
    assert run.code == 1
    assert any("127.0.0.1:1" in what for what in findings(run.out)["error"])
    assert "secret" not in run.out


def test_strays_in_the_landing_zone_are_found(radar: Radar, settings: Settings) -> None:
    (settings.landing / "export.csv").write_text("x")
    early = settings.landing / "dt=2020-01-01" / "hr=00"
    early.mkdir(parents=True)
    (early / "a.ndjson").write_text("{}\n")
    run = radar("doctor")
    warnings = findings(run.out)["warning"]
    assert any("export.csv is not a segment" in what for what in warnings)
    assert any("before RADAR_START_DATE" in what for what in warnings)
    assert "RADAR_START_DATE=2020-01-01" in run.out


def test_links_and_pipes_in_the_landing_zone_are_named(radar: Radar, settings: Settings, tmp_path: Path) -> None:
    segment = write_segment(settings.landing, datetime(2026, 3, 1, 12), "a", [b"{}\n"]).local_path
    (segment.parent / "link.ndjson").symlink_to("/etc/passwd")
    (settings.landing / "dt=2026-03-02").symlink_to(segment.parent.parent)
    os.mkfifo(segment.parent / "pipe.ndjson")
    os.link(segment, tmp_path / "backup")
    warnings = findings(radar("doctor").out)["warning"]
    assert f"{segment.parent / 'link.ndjson'} is a symbolic link and is not read" in warnings
    assert f"{settings.landing / 'dt=2026-03-02'} is a symbolic link and is not read" in warnings
    assert f"{segment.parent / 'pipe.ndjson'} is a named pipe and is not read" in warnings
    assert f"1 segment has additional hard links, e.g. {segment}" in warnings


def test_a_port_in_use_and_another_dagster_home_are_found(
    radar: Radar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 3000))
            taken.listen()
        except OSError:
            assert taken  # someone else's server is there, which serves as well
        warnings = findings(radar("doctor").out)["warning"]
        with recorded_ui(load_settings(), "http://127.0.0.1:3000"):
            assert "port 3000 is in use" not in radar("doctor").out, "it is this home's UI"
    assert "port 3000 is in use" in warnings
    assert any(what.startswith("DAGSTER_HOME=") for what in warnings)


def test_temporary_files_of_no_known_kind_are_named(radar: Radar, settings: Settings) -> None:
    (settings.scratch / "duckdb-12-ab").mkdir()
    (settings.scratch / "duckdb-12-ab" / "spilled.tmp").write_bytes(bytes(2_000))
    assert any("duckdb-12-ab (2.0 kB) is not used" in what for what in findings(radar("doctor").out)["warning"])


def test_a_table_without_sound_metadata_is_an_error_until_it_is_repaired(radar: Radar, settings: Settings) -> None:
    lakehouse = open_lakehouse(settings)
    for name in lakehouse.tables:
        lakehouse.snapshot(name)
    shutil.rmtree(Path(local_path_of(settings.warehouse)) / "radar" / "sessions")
    run = radar("doctor")
    assert run.code == 1
    assert any("table sessions" in what and "warehouse is mounted" in what for what in findings(run.out)["error"])
    assert any("sessions was recovered" in what for what in findings(radar("doctor --repair").out)["warning"])
    run = radar("doctor")
    assert run.code == 0
    assert any("sessions was recovered" in what for what in findings(run.out)["warning"])


def test_a_backup_is_made_and_restored(radar: Radar, settings: Settings, tmp_path: Path) -> None:
    radar("project add first")
    assert radar(f"backup {tmp_path / 'backup'}").code == 0
    radar("project add second")
    assert "raw_events: " in radar(f"restore {tmp_path / 'backup'}").out
    assert "second" not in radar("project list").out
    assert "first" in radar("project list").out
    assert list((settings.home / "replaced").glob("*/radar.db"))


def test_the_audit_log_can_be_verified_after_a_restore_into_another_home(
    radar: Radar, settings: Settings, tmp_path: Path
) -> None:
    store, key = open_store(settings.database), audit.signing_key(settings.home)
    radar("project add first")
    assert audit.expire(store, utc_now(), key) == 1
    store.close()
    radar("project add second")
    assert radar(f"backup {tmp_path / 'backup'}").code == 0
    (settings.home / "radar.audit.key").unlink()
    other = audit.signing_key(settings.home)
    assert other != key
    assert radar("audit verify").code == 1
    assert radar(f"restore {tmp_path / 'backup'}").code == 0
    verified = radar("audit verify")
    assert (verified.code, verified.err) == (0, "")
    actions = [entry["action"] for entry in json.loads(radar("audit list --format json").out)]
    assert actions == ["backup.restore", "project.add"], "the backup was recorded after it was made"
    assert audit.signing_key(settings.home) == key
    assert (settings.home / "radar.audit.key").stat().st_mode & 0o777 == 0o600
    replaced = next((settings.home / "replaced").glob("*/radar.audit.key"))
    assert bytes.fromhex(replaced.read_text()) == other


def test_definitions_that_the_daemon_can_not_load_are_an_error(
    radar: Radar, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_location, "SILENT_AFTER", timedelta(seconds=10))
    ticked = {TickStatus.SKIPPED, TickStatus.SUCCESS}
    with monitored_instance(settings) as instance:
        with daemon(instance, tmp_path, [{"module_name": "radar_assets_tests.waiting_assets"}]):
            eventually(lambda: [state for state in instance.all_instigator_state() if ticks(instance, state, ticked)])
            eventually(lambda: "can't be loaded" not in radar("doctor").out)
        with daemon(instance, tmp_path, [{"module_name": "radar_assets_tests.no_such_module"}]) as process:
            eventually(lambda: code_location.problem(instance, utc_now()))
            assert process.poll() is None
            (problem,) = [what for what in findings(radar("doctor").out)["error"] if "the daemon runs, but" in what]
            assert "the code location can't be loaded or reached" in problem
            assert "can't be loaded or reached" in radar("status").err


def ticks(instance: dg.DagsterInstance, state: Any, statuses: set[TickStatus]) -> Any:
    return instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=list(statuses))
