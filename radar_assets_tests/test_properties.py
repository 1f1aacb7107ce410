"""Properties of the whole pipeline: order and batching of the lines change nothing, and late data ends where a rebuild from scratch does."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from radar_assets.events.enrichment import rebuild_events
from radar_assets.events.importer import import_file
from radar_assets.events.landing import list_hours
from radar_assets.events.loading import load_raw_events
from radar_assets.events.sessionization import rebuild_sessions
from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.staleness import stale
from radar_assets.partitions import DAY, HOUR, Window, contiguous
from radar_assets.settings import load_settings
from radar_assets_tests.platform import Platform, event

START = datetime(2026, 3, 1)
SHARED = Path(__file__).parents[2] / "shared" / "data"


def open_platform(home: Path, **overrides: Any) -> Platform:
    """A platform on an instance in memory."""
    settings = load_settings(home=home, threads=2, **overrides).prepare()
    return Platform(settings, dg.DagsterInstance.ephemeral())


@st.composite
def traffic(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of two days: few visitors and ids, so that copies, ties and visits over midnight are frequent."""
    events = []
    for _ in range(draw(st.integers(5, 40))):
        at = START + timedelta(minutes=draw(st.integers(0, 2 * 24 * 60 - 1)))
        received = at + timedelta(seconds=draw(st.sampled_from([0, 1, 1800, 7200])))
        visitor = draw(st.sampled_from(["ann", "bob"]))
        events.append(
            event(
                str(draw(st.integers(0, 25))),
                at,
                received_at=received,
                anonymous_id=visitor,
                user_id=draw(st.sampled_from([None, None, "u1", "u2"])),
                session_id=draw(st.sampled_from([None, None, "s1"])),
                event=draw(st.sampled_from(["page_view", "purchase", "sign_up"])),
                project_id=draw(st.sampled_from(["shop", "shop", "blog", "nobody"])),
                properties={"url": f"https://shop.example/{draw(st.integers(0, 3))}", "revenue": 1.1},
            )
        )
    return events


def received(fields: dict[str, Any]) -> datetime:
    """The hour that an event was received in."""
    return datetime.fromisoformat(fields["received_at"].removesuffix("Z")).replace(minute=0, second=0)


def land_and_build(platform: Platform, batches: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Land the batches one after the other, each as the sensors load it, and rebuild what each makes stale."""
    for number, batch in enumerate(batches):
        by_hour: dict[datetime, list[dict[str, Any]]] = {}
        for fields in batch:
            by_hour.setdefault(received(fields), []).append(fields)
        for hour, events in by_hour.items():
            platform.land(hour, events, f"batch-{number}")
        load(platform)
        rebuild_stale(platform)
    return platform.tables()


def load(platform: Platform) -> None:
    """Load the segments that are missing."""
    hours = sorted(list_hours(platform.settings.landing))
    if hours:
        window = Window(hours[0], hours[-1] + HOUR)
        load_raw_events(platform.lakehouse, ["shop", "blog"], window, only_missing=True)


def rebuild_stale(platform: Platform) -> tuple[list[Window], list[Window]]:
    """Rebuild stale hours and days; what was rebuilt."""
    tables = platform.lakehouse
    raw = tables.snapshot("raw_events")
    hours = [from_unit(hour, "hour") for hour in stale(raw, tables.snapshot("events"), by=1)]
    unread = [from_unit(hour, "hour") for hour in stale(raw, tables.snapshot("rejected_events"))]
    spans = contiguous(hours, HOUR, len(hours))
    if spans:
        rebuild_events(tables, spans)
    for span in spans:
        platform.rebuild("hourly_job", *ends(span, "%Y-%m-%d-%H:%M", HOUR), assets=["hourly_metrics"])
    for span in contiguous(unread, HOUR, len(unread)):
        platform.rebuild("hourly_job", *ends(span, "%Y-%m-%d-%H:%M", HOUR), assets=["rejected_events"])
    days = [from_unit(day, "day") for day in stale(tables.snapshot("events"), tables.snapshot("sessions"))]
    for span in contiguous(days, DAY, len(days)):
        rebuild_sessions(tables, span)
    sessions = tables.snapshot("sessions")
    behind = [from_unit(day, "day") for day in stale(sessions, tables.snapshot("daily_metrics"))]
    for span in contiguous(behind, DAY, len(behind)):
        platform.rebuild("daily_job", *ends(span, "%Y-%m-%d", DAY), assets=["daily_metrics", "daily_breakdowns"])
    return spans, contiguous(days, DAY, len(days))


def ends(span: Window, form: str, step: timedelta) -> tuple[str, str]:
    """Keys of the first and the last partition of a span."""
    return span.start.strftime(form), (span.end - step).strftime(form)


@given(events=traffic(), data=st.data())
@hypothesis_settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_order_and_any_batching_gives_equal_tables(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]], data: st.DataObject
) -> None:
    whole = land_and_build(open_platform(tmp_path_factory.mktemp("whole") / "radar"), [events])
    shuffled = data.draw(st.permutations(events))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=2)))
    batches = [shuffled[low:high] for low, high in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    assert land_and_build(open_platform(tmp_path_factory.mktemp("parts") / "radar"), batches) == whole


def test_segments_sent_again_change_nothing(radar_home: Path) -> None:
    platform = open_platform(radar_home)
    events = [event(str(number), START + number * timedelta(minutes=7)) for number in range(60)]
    first = land_and_build(platform, [events])
    again = land_and_build(platform, [[], events])
    for table in ("events", "sessions", "hourly_metrics", "daily_metrics", "daily_breakdowns", "rejected_events"):
        assert again[table] == first[table], table
    assert len(again["raw_events"]) == 2 * len(first["raw_events"])


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded data are not beside the project")
def test_the_apache_log_gives_the_known_sessions(radar_home: Path) -> None:
    platform = open_platform(radar_home, start_date="2015-01-01")
    import_file(SHARED / "apache-log/apache_logs.log", platform.settings.landing, format="apache", project="shop")
    load(platform)
    rebuild_stale(platform)
    (row,) = platform.rows("sessions", "select count(*) n, count(*) filter (where events = 1) single from {table}")
    assert row == {"n": 3223, "single": 1774}
    (rejected,) = platform.rows("rejected_events")
    assert rejected["line_number"] >= 1
    assert len(platform.rows("events")) == 9999


def replay_batches() -> list[tuple[int, int]]:
    """Spans of received time, in Unix seconds, into which the git history is cut: a quarter each since 2024."""
    edges = [datetime(2024 + quarter // 4, quarter % 4 * 3 + 1, 1, tzinfo=UTC) for quarter in range(13)]
    return [(int(low.timestamp()), int(high.timestamp())) for low, high in zip(edges, edges[1:], strict=False)]
