"""`radar snapshots`, `radar sql --as-of` and `radar diff` show what the tables held, and which landed lines changed them."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from radar_assets.access.projects import ensure_projects
from radar_assets.cli import main
from radar_assets.lakehouse.files import Origin
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY, utc_now
from radar_assets_tests.cli.conftest import HOUR, Radar, cells, land, load
from radar_assets_tests.platform import event, line

TODAY = HOUR.replace(hour=0)


def fill(settings: Settings) -> None:
    ensure_projects(open_store(settings.database), [Project("shop"), Project("blog")])
    lines = [line(event(str(number), HOUR, anonymous_id=f"visitor-{number}")) for number in range(3)]
    land(settings, lines, "first")
    load(settings)


@pytest.fixture
def home(settings: Settings) -> Settings:
    """A home with three events."""
    fill(settings)
    return settings


@pytest.fixture(scope="module")
def changed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a second load that adds to two projects, and a rejected line; the state before is pinned. Tests only read it."""
    home = tmp_path_factory.mktemp("changed") / "radar"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(home))
        settings = load_settings().prepare()
        fill(settings)
        with pytest.raises(SystemExit, match="0"):
            main(["snapshots", "pin", "before"])
        land_more(settings)
    return home


@pytest.fixture
def changed(changed_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The changed home, as the home of this test."""
    monkeypatch.setenv("RADAR_HOME", str(changed_home))


def land_more(settings: Settings) -> None:
    more = [line(event("late", HOUR, anonymous_id="late")), line(event("b", HOUR, project_id="blog")), b"not json\n"]
    land(settings, more, "second")
    load(settings)


def entries(radar: Radar, command: str) -> list[dict[str, object]]:
    run = radar(f"{command} --format json")
    assert run.code == 0, run.err
    return json.loads(run.out)


@pytest.mark.usefixtures("changed")
def test_the_numbers_that_changed_and_the_lines_that_changed_them(radar: Radar) -> None:
    found = entries(radar, "diff daily_metrics --from before --project shop")
    (visitors,) = [row for row in found if row["metric"] == "visitors"]
    assert visitors == {
        "change": "changed",
        "project_id": "shop",
        "date": f"{HOUR:%Y-%m-%d}",
        "metric": "visitors",
        "before": 3.0,
        "after": 4.0,
        "difference": 1.0,
    }
    assert {row["project_id"] for row in found} == {"shop"}
    lines = entries(radar, "diff daily_metrics --from before --project shop --lines")
    assert [(row["change"], row["segment"], row["line_number"], row["event_id"]) for row in lines] == [
        ("added", "second", 1, "late")
    ]
    everything = entries(radar, "diff daily_metrics --from before")
    assert {row["change"] for row in everything if row["project_id"] == "blog"} == {"added"}
    both = entries(radar, "diff daily_metrics --from before --lines")
    assert {row["event_id"] for row in both} == {"late", "b"}
    back = entries(radar, f"diff daily_metrics --from {utc_now().isoformat()} --to before --project shop --lines")
    assert [(row["change"], row["event_id"]) for row in back] == [("removed", "late")]


def test_lines_are_those_that_the_numbers_were_built_from(home: Settings, radar: Radar) -> None:
    """A line that had landed before the first moment, but was not in the numbers yet, is among those that changed them."""
    from radar_assets.events.loading import load_raw_events
    from radar_assets.windows import Window

    land(home, [line(event("late", HOUR, anonymous_id="late"))], "second")
    load_raw_events(open_lakehouse(home), ["shop", "blog"], Window.of_hour(HOUR), only_missing=True, is_pruned=False)
    assert radar("snapshots pin before").code == 0
    load(home)
    lines = entries(radar, "diff daily_metrics --from before --lines")
    assert [(row["change"], row["event_id"]) for row in lines] == [("added", "late")]


def test_a_change_without_lines_says_so(home: Settings, radar: Radar) -> None:
    assert radar("snapshots pin before").code == 0
    lakehouse = open_lakehouse(home)
    from radar_assets.lakehouse.catalog import Build
    from radar_assets.windows import Window

    day = Window.of_day(HOUR.date())
    number = lakehouse.snapshot("sessions").sequence_number
    lakehouse.catalog.commit("daily_metrics", lambda _: Build([], {day: Origin(number)}))
    run = radar("diff daily_metrics --from before")
    assert "removed" in run.out
    assert "No landed line in their windows differs" in run.err
    assert radar("diff daily_metrics --from before --lines").out.startswith("No landed line")
    assert radar("diff events --from before").out == "No row of events differs.\n"


@pytest.mark.usefixtures("changed")
def test_rejected_lines_are_found_by_their_received_hour(radar: Radar) -> None:
    (found,) = entries(radar, "diff rejected_events --from before --lines")
    assert (found["change"], found["segment"], found["line_number"]) == ("added", "second", 3)
    assert found["reason"]


@pytest.mark.usefixtures("changed")
def test_wide_tables_have_one_entry_per_column_in_data_and_one_per_row_in_tables(radar: Radar) -> None:
    found = entries(radar, "diff events --from before --project blog")
    assert {row["column"]: row["after"] for row in found}["anonymous_id"] == "visitor"
    assert radar("diff events --from before --project blog").out.count("added") == 1


@pytest.mark.parametrize("arguments", ["daily_metrics", "daily_breakdowns", "events", "sessions", "events --lines"])
@pytest.mark.usefixtures("changed")
def test_differences_fit_the_terminal(terminal: Radar, arguments: str) -> None:
    run = terminal(f"diff {arguments} --from before")
    assert run.code == 0, run.out
    assert max(map(len, run.out.splitlines())) <= 80
    assert "added" in run.out


def test_sql_queries_a_moment_or_a_pin(home: Settings, radar: Radar) -> None:
    pinned = radar("snapshots pin before events --expires 30d")
    assert pinned.out.startswith("Pinned events as before until ")
    moment = utc_now()
    land_more(home)
    count = 'sql "select count(*) as n from events" --format csv'
    for as_of in ("before", moment.isoformat(), f"{moment.isoformat()}+00:00"):
        assert radar(f"{count} --as-of {as_of}").out == "n\n3\n"
    assert radar(count).out == radar(f"{count} --as-of {(utc_now() + DAY).isoformat()}").out == "n\n5\n"
    early = radar(f"{count} --as-of 2d")
    assert early.code == 1
    assert "events has no snapshot as old as" in early.err
    other = radar('sql "from sessions" --as-of before')
    assert (other.code, other.out) == (2, "")
    assert "sessions has no pin 'before'" in other.err
    assert "no table has a pin 'never'" in radar('sql "from sessions" --as-of never').err


def test_snapshots_and_pins_are_listed_and_removed(home: Settings, radar: Radar) -> None:
    assert radar("snapshots list").out == "No pins. radar snapshots list TABLE shows the snapshots of a table.\n"
    radar("snapshots pin before --expires 30d")
    land_more(home)
    pins = {row["table"]: row for row in entries(radar, "snapshots list")}
    assert {"raw_events", "events", "daily_metrics"} <= {*pins}
    assert pins["events"]["rows"] == 3
    expires = datetime.fromisoformat(str(pins["events"]["expires_at"]))
    assert timedelta(days=29) < expires - utc_now() <= timedelta(days=30)
    newest, *older = entries(radar, "snapshots list events")
    assert (newest["rows"], newest["pins"]) == (5, [])
    assert ["before"] in [row["pins"] for row in older]
    assert "before" in cells(radar("snapshots list").out)
    assert radar("snapshots unpin before events").out == "Removed the pin before from events.\n"
    assert "events" not in {row["table"] for row in entries(radar, "snapshots list")}
    assert radar("snapshots unpin before").code == 0
    assert radar("snapshots list --format csv").out.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("snapshots pin 2026-11-02", "invalid name '2026-11-02'"),
        ("snapshots pin before event", "unknown table 'event'"),
        ("snapshots unpin before", "no table has a pin 'before'"),
        ("diff daily --from before", "unknown table 'daily'"),
        ("diff events --from before", "events has no pin 'before'"),
        ("diff alerts --from 1m --lines", "alerts is not built from landed lines"),
    ],
)
@pytest.mark.usefixtures("in_shop")
def test_mistakes_are_named(radar: Radar, command: str, message: str) -> None:
    run = radar(command)
    assert (run.code, run.out) == (2, "")
    assert message in run.err
