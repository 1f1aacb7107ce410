"""`radar replay-rejected`: what it prints and lands."""

import pytest

from radar_assets.events.landing import list_hours
from radar_assets.settings import Settings
from radar_assets_tests.cli.conftest import HOUR, Radar, cells, land, load
from radar_assets_tests.platform import event, line


def test_counts_are_shown_by_reason_and_lines_land_once(radar: Radar, settings: Settings) -> None:
    assert "No matching rejected lines" in radar("replay-rejected").out
    land(settings, [line(event("1", HOUR)), b"not json\n"], "a")
    load(settings)
    assert "Nothing to land" in radar("replay-rejected").out
    radar("project add shop")

    trial = radar("replay-rejected --dry-run --reason unknown_project")
    assert cells(trial.out)["unknown_project"] == ["1", "0", "0", "1"]
    assert "nothing was landed" in trial.out
    assert list(list_hours(settings.landing)) == [HOUR]

    assert "Landed as" in radar("replay-rejected").out
    assert "An earlier replay landed them" in radar("replay-rejected").out


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01"])
def test_an_invalid_time_is_refused(radar: Radar, since: str) -> None:
    run = radar(f"replay-rejected --since {since}")
    assert run.code == 2
    assert "--since" in run.err
