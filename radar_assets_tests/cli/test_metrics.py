"""`radar metrics`: the list, and values of a new metric for the past."""

from datetime import timedelta

from radar_assets.access.projects import ensure_projects
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.tables import open_lakehouse
from radar_assets.windows import Window
from radar_assets_tests.cli.conftest import HOUR, Radar, land, load
from radar_assets_tests.platform import event, line

METRICS = """\
metrics:
  - name: searches
    expression: count(*) filter (where event = 'search')
  - name: search_length
    expression: avg(length(json_extract_string(properties, '$.query')))
  - name: long_sessions
    source: sessions
    expression: count(*) filter (where duration_s > 60)
"""
RULES = """\
rules:
  - {name: many_searches, metric: searches, operator: gt, threshold: 0}
  - {name: long_searches, metric: search_length, operator: gt, threshold: 100}
"""
DAYS = 3


def past(settings: Settings) -> None:
    """Tables with an event at the same hour of some days, built before any metric was declared."""
    ensure_projects(open_store(settings.database), [Project("shop")])
    for index in range(DAYS):
        at = HOUR - timedelta(days=index)
        land(settings, [line(event(f"{index}", at, event="search"))], "a", at)
    load(settings)


def values(settings: Settings, table: str, metric: str) -> list[float]:
    from radar_assets.lakehouse.frames import read_frame

    today = Window.of_day(HOUR.date())
    window = Window(today.start - timedelta(days=DAYS), today.end)
    frame = read_frame(open_lakehouse(settings), table, window)
    return frame[frame["metric"] == metric]["value"].tolist()


def test_a_new_metric_is_computed_for_the_past_once(radar: Radar, settings: Settings) -> None:
    past(settings)
    settings.config_file.write_text(METRICS + RULES)
    since = f"{HOUR - timedelta(days=10):%Y-%m-%d}"
    tested = radar("rules test many_searches --since 300d")
    assert "searches has no value in 3 of 3 windows: the metric is newer than they are." in tested.err
    first = f"{HOUR - timedelta(days=DAYS - 1):%Y-%m-%d}"
    assert f"radar metrics backfill searches --since {first}" in tested.err
    assert "may be newer" in radar("rules test long_searches --since 300d").err

    run = radar(f"metrics backfill searches --since {since}")
    assert run.code == 0, run.err
    assert run.out.splitlines() == ["hourly_metrics: rebuilt 3 of 3 hours.", "daily_metrics: rebuilt 3 of 3 days."]
    assert values(settings, "hourly_metrics", "searches") == values(settings, "daily_metrics", "searches") == [1, 1, 1]
    tested = radar("rules test many_searches --since 300d")
    assert "fired 3 times" in tested.out
    assert "newer" not in tested.err

    again = radar(f"metrics backfill searches --since {since}")
    assert again.out.splitlines() == ["hourly_metrics: rebuilt 0 of 3 hours.", "daily_metrics: rebuilt 0 of 3 days."]


def test_a_backfill_says_which_partitions_stay_without_a_value(radar: Radar, settings: Settings) -> None:
    past(settings)
    settings.config_file.write_text(METRICS)
    run = radar(f"metrics backfill long_sessions --since {HOUR:%Y-%m-%d}")
    assert run.out.splitlines() == ["daily_metrics: rebuilt 1 of 1 day."]
    run = radar(f"metrics backfill search_length --since {HOUR:%Y-%m-%d}")
    assert "No value in 1 hour: the expression gives none for their events." in run.out


def test_the_list_has_all_metrics_and_a_wrong_name_gets_a_hint(radar: Radar, settings: Settings) -> None:
    settings.config_file.write_text(METRICS)
    listed = radar("metrics list").out
    assert "visitors" in listed and "standard" in listed
    assert [row.split()[-1] for row in listed.splitlines() if "long_sessions" in row] == ["radar.yaml"]
    run = radar("metrics backfill serches --since 2026-11-01")
    assert (run.code, run.err) == (2, "radar: unknown metric serches; did you mean searches?\n")
