"""Rejected lines that the contract now accepts land again, unchanged and once."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest

from radar_assets.access.projects import ensure_projects, list_projects
from radar_assets.events.landing import list_hours, list_segments
from radar_assets.events.replay import Replay, replay_rejected
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.windows import HOUR, hour_key, utc_now
from radar_assets_tests.platform import Platform, event, line

NOW = utc_now().replace(minute=0, second=0, microsecond=0)
BEFORE = NOW - timedelta(hours=5)


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(settings, instance)


def load(platform: Platform) -> None:
    """Load landed segments, as the daemon does."""
    for sensor in ("landing_sensor", "stale_hours_sensor"):
        for request in platform.tick(sensor):
            platform.execute("hourly_job", request)


def replay(platform: Platform, **filters: object) -> Replay:
    projects = [project.id for project in list_projects(open_store(platform.settings.database))]
    return replay_rejected(platform.lakehouse, projects, **filters)  # pyright: ignore[reportArgumentType]


def know(platform: Platform, *projects: str) -> None:
    ensure_projects(open_store(platform.settings.database), (Project(name) for name in projects))


def event_ids(platform: Platform) -> list[str]:
    return [row["event_id"] for row in platform.rows("events", "select event_id from {table}")]


def segments(platform: Platform) -> list[str]:
    """Names of all segments in the landing zone."""
    landing = platform.settings.landing
    return sorted(segment.name for hour in list_hours(landing) for segment in list_segments(landing, hour))


def test_lines_of_a_project_added_later_land_unchanged_and_count(platform: Platform) -> None:
    odd = line(event("1", BEFORE, project_id="new", event="naïve \U0001f600")).replace(b'": "', b'" :\t"')
    platform.land(BEFORE, [odd, event("2", BEFORE), b"not json\n", event("3", BEFORE, project_id="new")], "a")
    load(platform)
    assert replay(platform).counts == {("unknown_project", "rejected"): 2, ("not_json", "rejected"): 1}

    know(platform, "new")
    began = utc_now()
    replayed = replay(platform)
    assert replayed.counts == {("unknown_project", "accepted"): 2, ("not_json", "rejected"): 1}
    assert replayed.segment
    assert replayed.is_new
    assert began - HOUR < replayed.segment.received_hour <= utc_now()
    assert replayed.segment.local_path.read_bytes() == odd + line(event("3", BEFORE, project_id="new"))

    load(platform)
    assert event_ids(platform) == ["1", "2", "3"]
    assert len(platform.rows("rejected_events")) == 3

    # A rebuild validates the lines in their original hour again, and accepts them there too.
    platform.rebuild(
        "hourly_job",
        hour_key(BEFORE),
        hour_key(replayed.segment.received_hour),
        ["raw_events", "rejected_events", "events"],
    )
    assert event_ids(platform) == ["1", "2", "3"]
    assert [row["reason"] for row in platform.rows("rejected_events")] == ["not_json"]


def test_a_second_replay_lands_nothing_before_and_after_the_first_is_loaded(platform: Platform) -> None:
    platform.land(BEFORE, [event("1", BEFORE, project_id="new")], "a")
    load(platform)
    know(platform, "new")
    first = replay(platform)
    assert first.segment
    landed = segments(platform)

    again = replay(platform)
    assert (again.segment, again.is_new) == (first.segment, False)
    load(platform)
    loaded = replay(platform)
    assert loaded.counts == {("unknown_project", "copy"): 1}
    assert loaded.segment is None
    assert segments(platform) == landed


def test_a_replay_of_the_same_lines_in_a_later_hour_lands_nothing(platform: Platform) -> None:
    platform.land(BEFORE, [event("1", BEFORE, project_id="new")], "a")
    load(platform)
    know(platform, "new")
    segment = replay(platform).segment
    assert segment
    earlier = platform.settings.landing / BEFORE.strftime("dt=%Y-%m-%d/hr=%H") / segment.local_path.name
    segment.local_path.rename(earlier)
    again = replay(platform)
    assert again.segment
    assert (again.segment.path, again.is_new) == (earlier, False)


def test_of_lines_with_the_same_id_the_first_received_one_lands(platform: Platform) -> None:
    later = BEFORE + timedelta(hours=1)
    platform.land(later, [event("1", BEFORE, project_id="new", event="sent again")], "b")
    platform.land(BEFORE, [event("1", BEFORE, project_id="new", event="sent")], "a")
    load(platform)
    know(platform, "new")
    replayed = replay(platform)
    assert replayed.counts == {("unknown_project", "accepted"): 1, ("unknown_project", "copy"): 1}
    assert replayed.segment
    assert replayed.segment.local_path.read_bytes() == line(event("1", BEFORE, project_id="new", event="sent"))


def test_only_selected_lines_are_replayed(platform: Platform) -> None:
    later = BEFORE + timedelta(hours=1)
    platform.land(BEFORE, [event("1", BEFORE, project_id="new"), b"not json\n"], "a")
    platform.land(later, [event("2", later, project_id="new"), event("3", later, project_id="newer")], "b")
    load(platform)
    know(platform, "new", "newer")
    assert replay(platform, project="newer", dry_run=True).counts == {("unknown_project", "accepted"): 1}
    assert replay(platform, since=later, dry_run=True).counts == {("unknown_project", "accepted"): 2}
    assert replay(platform, reason="not_json", dry_run=True).counts == {("not_json", "rejected"): 1}
    assert replay(platform, reason="too_deep", dry_run=True).counts == {}
    assert segments(platform) == ["a", "b"]


def test_bytes_that_are_not_text_stay_rejected(platform: Platform) -> None:
    platform.land(BEFORE, [b'{"event_id": "\xff"}\n', b"\x00\n"], "a")
    load(platform)
    know(platform, "new")
    counts = replay(platform).counts
    assert sum(counts.values()) == 2
    assert {outcome for _, outcome in counts} == {"rejected"}
