"""Staleness is derived from the tables: a partition is stale if its input has changed since the state it was built from."""

import pytest

from radar_assets.calendar import Calendar
from radar_assets.events.enrichment import rebuild_events
from radar_assets.events.landing import list_segments, write_segment
from radar_assets.events.loading import load_raw_events
from radar_assets.lakehouse.files import to_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.staleness import stale, stale_windows
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.lakehouse import numbers
from radar_assets_tests.platform import event, line

FIRST = numbers.DAY


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return open_lakehouse(settings)


def test_hours_are_stale_until_they_are_built_from_the_newest_input(lakehouse: Lakehouse) -> None:
    """The table is its own input here, since only the recorded input state matters."""
    changed = numbers.write(lakehouse, Window(FIRST, FIRST + 4 * HOUR), 1).sequence_number
    table = lakehouse.snapshot("hourly_metrics")
    hours = [to_unit(FIRST + index * HOUR, "hour") for index in range(4)]
    assert stale(table, table, Calendar({})) == dict.fromkeys(hours, changed)
    assert stale_windows(table, table, Calendar({}), Window(FIRST, FIRST + 2 * HOUR)) == [
        Window(FIRST, FIRST + 2 * HOUR)
    ]

    numbers.write(lakehouse, Window(FIRST + HOUR, FIRST + 2 * HOUR), 1, built_from=changed + 1)
    child = lakehouse.snapshot("hourly_metrics")
    assert stale(table, child, Calendar({})) == {hour: changed for hour in hours if hour != hours[1]}
    assert stale(table, child, Calendar({}), newer_than=changed) == {}


def test_a_partition_without_rows_records_its_input_state(lakehouse: Lakehouse) -> None:
    changed = numbers.write(lakehouse, Window(FIRST, FIRST + HOUR), 1).sequence_number
    parent = lakehouse.snapshot("hourly_metrics")
    numbers.write(lakehouse, Window(FIRST, FIRST + HOUR), 1, projects=0, built_from=changed)
    assert stale(parent, lakehouse.snapshot("hourly_metrics"), Calendar({})) == {}


def test_a_day_is_stale_by_any_of_its_hours(lakehouse: Lakehouse) -> None:
    numbers.write(lakehouse, Window(FIRST, FIRST + HOUR), 1)
    changed = numbers.write(lakehouse, Window(FIRST + 23 * HOUR, FIRST + 24 * HOUR), 1).sequence_number
    hours, days = lakehouse.snapshot("hourly_metrics"), lakehouse.snapshot("daily_metrics")
    assert stale(hours, days, Calendar({})) == {to_unit(FIRST, "day"): changed}
    assert stale(hours, days, Calendar({}), within=Window(FIRST + DAY, FIRST + 2 * DAY)) == {}


def test_hours_need_a_file_only_if_they_have_or_had_lines(lakehouse: Lakehouse) -> None:
    """History has many more hours without events than with. An hour that lost its rows has one, by which later tables find out."""
    landing, hour = lakehouse.settings.landing_zone, FIRST + 5 * HOUR
    whole = Window(FIRST, FIRST + 2 * DAY)
    write_segment(landing, hour, "one", [line(event("1", hour))])

    def build() -> tuple[int, int]:
        load_raw_events(lakehouse, ["shop"], whole, only_missing=False, is_pruned=True)
        raw = lakehouse.snapshot("raw_events")
        behind = stale(raw, lakehouse.snapshot("events"), Calendar({}))
        assert behind == {to_unit(hour, "hour"): raw.sequence_number}
        rebuild_events(lakehouse, [whole])
        assert stale(raw, lakehouse.snapshot("events"), Calendar({})) == {}
        return len(raw.files()), len(lakehouse.snapshot("events").files())

    assert build() == (1, 1)
    assert [ref.rows for ref in lakehouse.snapshot("events").files()] == [1]
    (segment,) = list_segments(landing, hour)
    segment.local_path.unlink()
    assert build() == (1, 1)
    assert [ref.rows for ref in lakehouse.snapshot("events").files()] == [0]
    assert lakehouse.snapshot("events").changes() == {
        to_unit(hour, "hour"): lakehouse.snapshot("events").sequence_number
    }
