"""`radar apply` and `radar rules`: the file takes effect, also in a running UI, and rules are tested on past data."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import time_machine
from dagster import DagsterInstance
from dagster._core.storage.runs import SqlRunStorage

from radar_assets.alerts.rules import load_rules, stored_rules
from radar_assets.cli.ui_address import recorded_ui
from radar_assets.orchestration.runtime.instance import prepare_instance
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.tables import open_lakehouse
from radar_assets.windows import utc_now
from radar_assets_tests.alerts.tables import NOON, fill, series
from radar_assets_tests.cli.conftest import HOUR, Radar

RULES = """\
rules:
  - name: many_events
    metric: events
    operator: gt
    threshold: 2
    severity: high
    projects: [shop, nowhere]
    quiet_hours: {start: 22:00, end: 07:00, timezone: Europe/Berlin}
    renotify_every: 4h
    for: 1
  - name: few_events
    metric: events
    operator: lt
    threshold: 1
    enabled: false
"""


def written(settings: Settings, text: str) -> Path:
    settings.config_file.write_text(text)
    return settings.config_file


@contextmanager
def ui(answer: dict[str, Any], instance_id: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that responds like the UI of an instance. Returns its address and the requests."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"instanceId": instance_id}).encode())

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def next_hourly() -> datetime:
    """When the schedule evaluates hourly rules next: a minute and six minutes after the hour."""
    now = utc_now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    return next(at for minutes in (1, 6, 61) if (at := hour + timedelta(minutes=minutes)) > now)


def test_apply_stores_what_is_in_the_file_and_removes_the_rest(radar: Radar, settings: Settings) -> None:
    written(settings, RULES)
    run = radar("apply")
    assert run.code == 0
    assert run.out.splitlines() == [
        "will add    rule many_events",
        "will add    rule few_events",
        "Applied 2 changes.",
        "No UI of this home runs on this machine; they are loaded when it starts.",
        "",
        "Next evaluation, while radar dev or the daemon runs:",
        f"  many_events  {next_hourly():%Y-%m-%d %H:%M} UTC",
        "  few_events   never; it is disabled",
    ]
    assert "many_events: unknown project nowhere, shop" in run.err
    store = open_store(settings.database)
    first, second = load_rules(store)
    assert (first.name, first.renotify_every, second.enabled) == ("many_events", timedelta(hours=4), False)
    assert first.quiet_hours is not None
    assert f"{first.quiet_hours.start:%H:%M} {first.quiet_hours.end:%H:%M}" == "22:00 07:00"
    assert stored_rules(settings.database) == [first, second]
    assert radar("apply").out.startswith("Rules and channels are unchanged.")
    written(settings, RULES.replace("threshold: 2", "threshold: 3").split("  - name: few")[0])
    assert radar("apply").out.splitlines()[:3] == [
        "will change rule many_events: threshold 2 -> 3",
        "will remove rule few_events",
        "Applied 2 changes.",
    ]
    store.close()


def test_an_invalid_file_is_not_applied_at_all(radar: Radar, settings: Settings) -> None:
    path = written(settings, RULES)
    radar("apply")
    written(settings, RULES.replace("operator: gt", "operator: above").replace("threshold: 1", "threshold: plenty"))
    run = radar("apply")
    assert run.code == 2
    assert run.err.splitlines() == [
        f'radar: {path}:4: rule many_events: "above" is not an operator; use one of gt, gte, lt, lte, eq, change_pct',
        f"{path}:14: rule few_events: threshold: not a number",
    ]
    assert [rule.threshold for rule in stored_rules(settings.database)] == [2, 1]


@pytest.fixture
def instance_id(settings: Settings) -> str:
    """The instance id in the pages of this home's UI."""
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        assert isinstance(instance.run_storage, SqlRunStorage)
        return instance.run_storage.get_run_storage_id()


SOUND = {"data": {"reloadWorkspace": {"locationEntries": []}}}


def test_a_running_ui_reloads_the_applied_rules(
    radar: Radar, settings: Settings, instance_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(settings, RULES)
    with ui(SOUND, instance_id) as (url, asked):
        monkeypatch.setenv("RADAR_UI_URL", url)
        assert f"The UI at {url} has loaded them." in radar("apply").out
    assert "reloadWorkspace" in asked[0]["query"]
    assert f"No UI responds at {url}; they are loaded when it starts." in radar("apply").out
    failed = {"__typename": "PythonError", "message": "it is\nbroken"}
    answer = {"data": {"reloadWorkspace": {"locationEntries": [{"name": "radar", "locationOrLoadError": failed}]}}}
    with ui(answer, instance_id) as (url, _):
        monkeypatch.setenv("RADAR_UI_URL", url)
        run = radar("apply")
    assert (run.code, run.err.splitlines()[-1]) == (
        1,
        "radar: The rules are stored, but radar failed to load: it is broken",
    )


def test_the_ui_of_another_home_is_not_reloaded(
    radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(settings, RULES)
    with ui(SOUND, "another-instance") as (url, asked):
        monkeypatch.setenv("RADAR_UI_URL", url)
        run = radar("apply")
        assert (run.code, f"{url} is not the UI of this home" in run.err) == (1, True)
        monkeypatch.delenv("RADAR_UI_URL")
        with recorded_ui(settings, url):
            assert radar("apply").code == 1
        assert asked == []


def test_a_ui_on_this_machine_is_preferred_and_reached_without_proxy(
    radar: Radar, settings: Settings, instance_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(settings, RULES)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ui(SOUND, instance_id) as (local, _), ui(SOUND, instance_id) as (public, asked):
        monkeypatch.setenv("RADAR_UI_URL", public)
        with recorded_ui(settings, local):
            assert f"The UI at {local} has loaded them." in radar("apply").out
            assert asked == []
        assert f"The UI at {public} has loaded them." in radar("apply").out


def test_the_recorded_ui_is_used_while_its_process_lives(radar: Radar, settings: Settings, instance_id: str) -> None:
    written(settings, RULES)
    record = settings.home / "ui.json"
    with ui(SOUND, instance_id) as (url, asked):
        script = f"""if True:
            import os
            from radar_assets.cli.ui_address import recorded_ui
            from radar_assets.settings import load_settings
            with recorded_ui(load_settings(), {url!r}):
                os.kill(os.getpid(), 9)"""
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
        dead = json.loads(record.read_text())
        with recorded_ui(settings, url):
            own = json.loads(record.read_text())
            assert f"The UI at {url} has loaded them." in radar("apply").out
        assert not record.exists()
        del asked[:]
        later = {**own, "started": own["started"] - 60}
        for stale in (json.dumps(dead), json.dumps(later), json.dumps({**own, "host": "elsewhere"}), "[]", "{}", "{"):
            record.write_text(stale)
            assert "No UI of this home runs on this machine" in radar("apply").out
        assert asked == []


def test_a_mail_channel_without_a_mail_server_prints_a_warning(
    radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(settings, "channels:\n  - {name: team, type: email, to: [ann@shop.example]}\n")
    run = radar("apply")
    assert (run.code, "team: no mail is sent without RADAR_SMTP_URL and RADAR_SMTP_FROM;" in run.err) == (0, True)
    monkeypatch.setenv("RADAR_SMTP_URL", "smtp://mail.example")
    monkeypatch.setenv("RADAR_SMTP_FROM", "radar@shop.example")
    assert "RADAR_SMTP_URL" not in radar("apply").err


@pytest.mark.parametrize("written_as", ["22", "2200"])
def test_quiet_hours_are_not_guessed(radar: Radar, settings: Settings, written_as: str) -> None:
    written(settings, RULES.replace("start: 22:00", f"start: {written_as}"))
    run = radar("apply")
    assert (run.code, f"invalid time {written_as}; use e.g. 22:00" in run.err) == (2, True)


def test_rules_are_listed_in_words(radar: Radar, settings: Settings) -> None:
    assert "No rules yet" in radar("rules list").out
    written(settings, RULES)
    radar("apply")
    lines = radar("rules list").out.splitlines()
    assert "events an hour are above 2" in lines[-2]
    assert "few_events (off)" in lines[-1]


def test_testing_a_rule_on_past_data_stores_nothing(radar: Radar, in_shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(RULES)
    run = radar(f"rules test many_events --since 2d -f {file}")
    assert run.code == 0
    assert "It would have fired once" in run.out, "a new project may have too much in its first hour"
    file.write_text(RULES.replace("metric: events\n    operator: lt", "metric: events\n    operator: lte"))
    run = radar(f"rules test few_events --since 3h -f {file}")
    assert run.code == 0
    assert "windows since" in run.out
    assert stored_rules(f"sqlite:///{in_shop}/radar.db") == []
    data = radar(f"rules test many_events --since 2d -f {file} --format csv")
    assert data.out.splitlines()[0] == "project_id,from,to,value,change_pct,threshold,usual_low,usual_high"
    assert data.out.splitlines()[1] == f"shop,{HOUR},{HOUR + timedelta(hours=1)},3.0,,2.0,,"
    assert "It would have fired once" in data.err
    assert f"{HOUR:%Y}" in run.out


def test_each_window_is_counted_once_however_the_span_is_split(
    radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radar_assets.cli.rules.MAX_WINDOWS", 3)
    written(settings, RULES.replace("projects: [shop, nowhere]", "projects: [shop]").replace("for: 1", "for: 2"))
    hours = [NOON - index * timedelta(hours=1) for index in range(1, 11)]
    fill(open_lakehouse(settings), "1h", series({"shop": dict.fromkeys(hours)}))
    with time_machine.travel((NOON + timedelta(minutes=20)).replace(tzinfo=UTC), tick=False):
        run = radar("rules test many_events --since 8h")
    assert "It would have fired once in 8 windows since 2026-03-30 04:00 UTC." in run.out
    assert "2026-03-30 03:00" in run.out
    assert "2026-03-30 12:00" in run.out


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("rules test nothing", "unknown rule nothing; known rules: many_events, few_events"),
        ("rules test many_events --since yesterday", "invalid duration 'yesterday'"),
        ("apply -f missing.yaml", "missing.yaml: file not found"),
    ],
)
def test_invalid_arguments_are_reported_on_one_line(radar: Radar, settings: Settings, command: str, says: str) -> None:
    written(settings, RULES)
    run = radar(command)
    assert (run.code, says in run.err) == (2, True)
