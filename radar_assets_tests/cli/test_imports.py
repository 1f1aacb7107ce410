"""`radar import`: arguments reach the importer, and its results are printed."""

import gzip
import json
import os
from pathlib import Path

import pytest

from radar_assets.access.projects import list_projects
from radar_assets.events.landing import list_hours, list_segments
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets_tests.cli.conftest import Radar

LOG = b'10.0.0.1 - - [17/May/2026:10:05:03 +0000] "GET /a HTTP/1.1" 200 1 "-" "Mozilla/5.0"\nno request\n'


def landed(settings: Settings) -> list[dict]:
    """All lines in the landing zone, by hour."""
    files = [
        one.local_path for hour in sorted(list_hours(settings.landing)) for one in list_segments(settings.landing, hour)
    ]
    return [json.loads(text) for file in files for text in file.read_text().splitlines()]


def test_columns_become_fields_and_new_projects_are_added(radar: Radar, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("id,site,customer,at,geo\n1,shop,ann,2026-05-01T10:00:00Z,DE\n2,blog,bob,2026-05-01T11:00:00Z,FR\n")
    run = radar(
        f"import '{file}' --format csv --map event_id=id --map project_id=site --map user_id=customer"
        " --map timestamp=at --map received_at=at --map context.country=geo --set event=order"
    )
    assert run.code == 0, run.err
    assert "shop: 1 event (new)" in run.out
    assert "2026-05-01 10:00 to 2026-05-01 11:59 UTC" in run.out
    assert [project.id for project in list_projects(open_store(settings.database))] == ["blog", "shop"]
    events = landed(settings)
    assert [event["project_id"] for event in events] == ["shop", "blog"]
    assert [event["context"]["country"] for event in events] == ["DE", "FR"]
    assert {event["event"] for event in events} == {"order"}


def test_a_file_lands_once_and_unreadable_lines_are_counted(radar: Radar, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_bytes(LOG)
    command = f"import '{file}' --format apache --project site --site https://example.com"
    first = radar(command)
    assert first.code == 0, first.err
    assert "1 of 2 lines" in first.out
    segments = [one for hour in sorted(list_hours(settings.landing)) for one in list_segments(settings.landing, hour)]
    assert "imported before" in radar(command).out
    assert segments == [
        one for hour in sorted(list_hours(settings.landing)) for one in list_segments(settings.landing, hour)
    ]


def test_events_without_a_known_project_are_mentioned(radar: Radar, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(json.dumps({"event_id": "1", "event": "x", "timestamp": "2026-05-01T10:00:00Z"}) + "\n")
    run = radar(f"import '{file}' --format ndjson")
    assert run.code == 0, run.err
    assert "no project" in run.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--format csv --map timestamp=nope --project shop", "unknown column nope"),
        ("--format csv --set colour=red --project shop", "unknown event field colour"),
        ("--format csv --project shop", "timestamp"),
    ],
)
def test_failed_imports_are_reported_on_one_line(radar: Radar, tmp_path: Path, options: str, says: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text("a,b\n1,2\n")
    run = radar(f"import '{file}' {options}")
    assert run.code == 2
    assert says in run.err.splitlines()[-1]
    assert "Traceback" not in run.err


def test_a_missing_file_is_reported(radar: Radar, tmp_path: Path) -> None:
    run = radar(f"import '{tmp_path / 'none.csv'}' --format csv --project shop")
    assert run.code == 2
    assert "none.csv can't be read" in run.err


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_is_imported(
    radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    rows = b"id,customer,at\n1,ann,2026-05-01T10:00:00Z\n2,bob,2026-05-01T11:00:00Z\n"
    reader, writer = os.pipe()
    os.write(writer, gzip.compress(rows) if packed else rows)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        run = radar(
            "import - --format csv --project shop --map event_id=id --map user_id=customer --map timestamp=at"
            " --set event=order"
        )
    assert (run.code, run.err) == (0, ""), "no progress bar outside of a terminal"
    assert "shop: 2 events (new)" in run.out
    assert [event["event_id"] for event in landed(settings)] == ["1", "2"]


@pytest.mark.parametrize("command", ["import {file} --format csv --map timestamp=nope --project a", "demo --days 0"])
def test_no_progress_bar_comes_before_an_error(terminal: Radar, tmp_path: Path, command: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text("a,b\n1,2\n")
    run = terminal(command.format(file=file), 120)
    assert run.code != 0
    assert run.out.startswith("radar: ")
    assert "━" not in run.out
    assert "\x1b" not in run.err


def test_a_terminal_shows_progress(terminal: Radar, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("event_id,event,user_id,timestamp\n1,x,ann,2026-05-01T10:00:00Z\n")
    run = terminal(f"import {file} --format csv --project shop")
    assert (run.code, "━" in run.out) == (0, True)
