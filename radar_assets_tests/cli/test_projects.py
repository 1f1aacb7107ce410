"""`radar project`."""

from datetime import date

from radar_assets.lakehouse.commits import Build
from radar_assets.lakehouse.files import Origin
from radar_assets.settings import load_settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import Window
from radar_assets_tests.cli.conftest import Radar, cells


def test_an_added_project_is_listed(radar: Radar) -> None:
    assert "No projects yet" in radar("project list").out
    assert radar("project add shop --name 'The Shop' --timezone Europe/Berlin").code == 0
    assert radar("project add '[b]\x1b[31m' --any-id").code == 0
    out = radar("project list").out
    assert cells(out)["shop"][:2] == ["The Shop", "Europe/Berlin"]
    assert "[b]\\x1b[31m" in out


def test_an_invalid_project_is_refused(radar: Radar) -> None:
    assert radar("project add shop").code == 0
    again = radar("project add shop")
    assert (again.code, again.err) == (2, "radar: project id 'shop' exists already\n")
    nowhere = radar("project add other --timezone Mars/Base")
    assert nowhere.code == 2
    assert "Europe/Berlin" in nowhere.err


def test_an_id_that_is_hard_to_repeat_is_refused_with_a_better_one(radar: Radar) -> None:
    run = radar("project add 'Bad Name!'")
    assert (run.code, run.out) == (2, "")
    assert "use e.g. radar project add bad-name --name 'Bad Name!'" in run.err
    assert radar("project add bad-name --name 'Bad Name!'").code == 0
    assert radar("project add '!!!'").err.endswith("commands; --any-id accepts it\n")
    assert radar("project add 'Bad Name!' --any-id").code == 0, "senders may use it already"
    assert [*cells(radar("project list").out)][1:] == ["Bad Name!", "bad-name"]


def test_a_changed_time_zone_is_listed_and_the_days_to_rebuild_are_named(radar: Radar) -> None:
    assert radar("project add shop").code == 0
    unknown = radar("project set-timezone nowhere Europe/Berlin")
    assert (unknown.code, "is unknown" in unknown.err) == (2, True)
    invalid = radar("project set-timezone shop Mars/Base")
    assert (invalid.code, "is not an IANA time zone" in invalid.err) == (2, True)
    assert "UTC -> Europe/Berlin" in radar("project set-timezone shop Europe/Berlin --dry-run").out
    assert cells(radar("project list").out)["shop"][1] == "UTC"
    changed = radar("project set-timezone shop Europe/Berlin")
    assert (changed.code, changed.err) == (0, "")
    assert cells(radar("project list").out)["shop"][1] == "Europe/Berlin"
    assert "has this time zone already" in radar("project set-timezone shop Europe/Berlin").out
    _build_a_day()
    refused = radar("project set-timezone shop Asia/Kathmandu --since 2026-03-01")
    assert (refused.code, "pass --yes" in refused.err) == (2, True)
    assert "To rebuild: 1 day, 2026-03-02" in refused.out
    later = radar("project set-timezone shop Asia/Kathmandu --since 2026-03-03")
    assert (later.code, "To rebuild" in later.out) == (0, False)
    assert radar("project set-timezone shop America/New_York --yes").code == 0
    assert cells(radar("project list").out)["shop"][1] == "America/New_York"


def _build_a_day() -> None:
    """Commit a day without sessions."""
    lakehouse = open_lakehouse(load_settings())
    day = Window.of_day(date(2026, 3, 2))
    lakehouse.catalog.commit("sessions", lambda _: Build([], {day: Origin(1, lakehouse.calendar().revision)}))
