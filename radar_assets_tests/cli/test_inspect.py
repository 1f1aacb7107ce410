"""`radar inspect` shows the landed line, the verdict, the event, and the visit that it fell into and why."""

import json
from datetime import timedelta

import pytest

from radar_assets.access.projects import ensure_projects
from radar_assets.access.time_zones import set_time_zone
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets_tests.cli.conftest import HOUR, Radar, land, load
from radar_assets_tests.platform import event, line

LATER = HOUR + timedelta(minutes=5)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A visit of two events, one of which landed twice, and a line that is rejected."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(tmp_path_factory.mktemp("visit") / "radar"))
        settings = load_settings().prepare()
        ensure_projects(open_store(settings.database), [Project("shop"), Project("blog")])
        first = line(event("first", HOUR))
        refused = line(event("refused", HOUR, project_id="nowhere"))
        land(settings, [first, line(event("second", LATER)), refused], "one")
        land(settings, [first], "two")
        load(settings)
    return settings


@pytest.fixture
def home(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The home of that visit, which tests only read."""
    monkeypatch.setenv("RADAR_HOME", str(filled.home))
    return filled


def test_an_event_is_shown_from_its_lines_to_its_visit(home: Settings, radar: Radar) -> None:
    run = radar("inspect first")
    assert run.code == 0, run.err
    assert "Counted: one, line 1" in run.out
    assert "Left out as a copy: two, line 1" in run.out
    assert line(event("first", HOUR)).decode().strip() in run.out
    assert "it starts the visit" in run.out
    assert "less than 30 minutes" in radar("inspect second").out
    found = json.loads(radar("inspect first --format json").out)
    assert [each["verdict"] for each in found["lines"]] == ["event", "copy"]
    assert found["events"][0]["visit"]["events"] == 2


def test_a_rejected_line_is_shown_with_its_reason(home: Settings, radar: Radar) -> None:
    run = radar("inspect refused")
    assert run.code == 0, run.err
    assert "Rejected: one, line 3" in run.out
    assert "unknown_project: project_id: nowhere" in run.out


def test_a_segment_that_is_gone_is_said_to_be(home: Settings, radar: Radar) -> None:
    aside = home.landing.rename(home.landing.with_name("aside"))
    assert "no longer in the landing zone" in radar("inspect first").out
    aside.rename(home.landing)


def test_what_a_visitor_did_is_listed_visit_by_visit(home: Settings, radar: Radar) -> None:
    found = json.loads(radar(f"inspect --visitor visitor --day {HOUR:%Y-%m-%d} --format json").out)
    assert [each["event_id"] for each in found] == ["first", "second"]
    assert [each["visit"] for each in found] == [1, 1]
    assert radar("inspect --visitor nobody").code == 1


def test_the_day_of_a_visitor_is_that_of_the_project(home: Settings, radar: Radar) -> None:
    """10:00 in UTC is the day before in a zone 12 hours behind, and the day after in one 14 hours ahead."""
    store = open_store(home.database)
    for zone, offset in (("Etc/GMT+12", -12), ("Pacific/Kiritimati", 14)):
        set_time_zone(store, "shop", zone)
        days = [(HOUR + timedelta(days=ahead)).date() for ahead in (-1, 0, 1)]
        found = [len(json.loads(radar(f"inspect --visitor visitor --day {day} --format json").out)) for day in days]
        assert found == [2 * ((LATER + timedelta(hours=offset)).date() == day) for day in days]
        run = radar("sql 'select date, max(local_time) from dated_events group by date' --format csv")
        local = LATER + timedelta(hours=offset)
        assert run.out.splitlines()[1:] == [f"{local:%Y-%m-%d},{local}"]
    store.close()


def test_an_event_or_a_visitor_has_to_be_named(home: Settings, radar: Radar) -> None:
    assert radar("inspect").code == 2
    assert radar("inspect unknown").code == 1
