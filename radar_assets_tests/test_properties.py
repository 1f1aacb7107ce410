"""Properties of the whole pipeline: order, batches and resends don't matter, and late data gives what a rebuild from scratch gives."""

import csv
import gzip
import itertools
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from radar_assets.access.projects import list_projects
from radar_assets.events.access_logs import AccessLog
from radar_assets.events.importer import import_file
from radar_assets.events.landing import list_hours
from radar_assets.events.loading import load_raw_events
from radar_assets.lakehouse.files import STEP, from_unit
from radar_assets.lakehouse.staleness import stale
from radar_assets.orchestration.materialization import INCREMENTAL_TAG
from radar_assets.settings import load_settings
from radar_assets.tables import TABLES
from radar_assets.windows import DAY, DAY_KEY, HOUR, HOUR_KEY, Window, contiguous
from radar_assets_tests.messy_traffic import CONFIG, SPAN, traffic
from radar_assets_tests.platform import Platform, event

DERIVED = ("events", "sessions", "hourly_metrics", "daily_metrics", "daily_breakdowns")
START_OF_HISTORY = datetime(2024, 1, 1)
ZONES: tuple[dict[str, str], ...] = (
    {},
    {"shop": "Pacific/Auckland", "blog": "Pacific/Honolulu"},
    {"shop": "America/St_Johns", "blog": "Asia/Kathmandu"},
)
"""Time zones of the projects: as given in UTC, nearly a day apart, and with half and quarter hours."""
ZONES_OF_HISTORY = {
    "berlin": "Europe/Berlin",
    "new-york": "America/New_York",
    "kathmandu": "Asia/Kathmandu",
    "lord-howe": "Australia/Lord_Howe",
    "auckland": "Pacific/Auckland",
    "honolulu": "Pacific/Honolulu",
}
SHARED = Path(__file__).parents[2] / "shared" / "data"


def open_platform(home: Path, zones: Mapping[str, str] | None = None, **overrides: Any) -> Platform:
    """A platform on an instance in memory."""
    settings = load_settings(home=home, threads=2, **overrides).prepare()
    settings.config_file.write_text(CONFIG)
    return Platform(settings, dg.DagsterInstance.ephemeral(), zones=zones or {})


def received(fields: dict[str, Any]) -> datetime:
    """The received hour of an event."""
    return datetime.fromisoformat(fields["received_at"].removesuffix("Z")).replace(minute=0, second=0)


def land_and_build(platform: Platform, batches: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Land batches one after the other, load each like the sensors do, and rebuild stale partitions."""
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
    """Load missing segments."""
    hours = sorted(list_hours(platform.settings.landing))
    if hours:
        window = Window(hours[0], hours[-1] + HOUR)
        projects = [project.id for project in list_projects(platform.store)]
        load_raw_events(platform.lakehouse, projects, window, only_missing=True)


def rebuild_stale(platform: Platform) -> tuple[set[datetime], set[datetime]]:
    """Rebuild stale hours and days through Dagster. Returns them."""
    tables, calendar = platform.lakehouse, platform.lakehouse.calendar()
    raw = tables.snapshot("raw_events")
    hours = {from_unit(hour, "hour") for hour in stale(raw, tables.snapshot("events"), calendar)}
    unread = {from_unit(hour, "hour") for hour in stale(raw, tables.snapshot("rejected_events"), calendar)}
    if hours | unread:
        first, last = (f"{edge:%Y-%m-%d-%H:%M}" for edge in (min(hours | unread), max(hours | unread)))
        assets = ["rejected_events", "events", "hourly_metrics"]
        platform.rebuild("hourly_job", first, last, assets, tags={INCREMENTAL_TAG: "true"})
    days = {from_unit(day, "day") for day in stale(tables.snapshot("events"), tables.snapshot("sessions"), calendar)}
    for span in contiguous(days, DAY, len(days)):
        platform.rebuild("daily_job", f"{span.start:%Y-%m-%d}", f"{span.end - DAY:%Y-%m-%d}")
    # Sessions of other days may have been amended in the same commits.
    for name in ("daily_metrics", "daily_breakdowns"):
        behind = {from_unit(day, "day") for day in stale(tables.snapshot("sessions"), tables.snapshot(name), calendar)}
        for span in contiguous(behind, DAY, len(behind)):
            platform.rebuild("daily_job", f"{span.start:%Y-%m-%d}", f"{span.end - DAY:%Y-%m-%d}", [name])
    assert not stale(tables.snapshot("events"), tables.snapshot("sessions"), calendar)
    return hours, days


def check(platform: Platform, window: Window) -> None:
    """Require that all checks of a window pass. Those that only warn judge the senders, not the tables."""
    for unit, form in (("hour", HOUR_KEY), ("day", DAY_KEY)):
        names = [table.name for table in TABLES.values() if table.grid == unit]
        result = dg.materialize(
            list(platform.defs.asset_checks or []),
            selection=dg.AssetSelection.checks_for_assets(*names),
            instance=platform.instance,
            resources={"lakehouse": platform.lakehouse, "store": platform.store},
            tags={
                "dagster/asset_partition_range_start": window.start.strftime(form),
                "dagster/asset_partition_range_end": (window.end - STEP[unit]).strftime(form),
            },
        )
        evaluations = result.get_asset_check_evaluations()
        assert {evaluation.asset_key.to_user_string() for evaluation in evaluations} == set(names)
        for evaluation in evaluations:
            assert evaluation.passed or evaluation.severity is dg.AssetCheckSeverity.WARN, evaluation


def test_order_batches_and_resends_make_no_difference(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> None:
    @given(events=traffic(), data=st.data())
    @hypothesis_settings(
        max_examples=int(str(pytestconfig.getoption("--examples"))),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def run(events: list[dict[str, Any]], data: st.DataObject) -> None:
        zones = data.draw(st.sampled_from(ZONES))
        # Some repetitions are received later than a day after the first, and so count again.
        platform = open_platform(tmp_path_factory.mktemp("whole") / "radar", zones, dedupe_days=1)
        whole = land_and_build(platform, [events])

        platform = open_platform(tmp_path_factory.mktemp("parts") / "radar", zones, dedupe_days=1)
        shuffled = data.draw(st.permutations(events))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=2)))
        batches = [shuffled[low:high] for low, high in zip([0, *cuts], [*cuts, len(events)], strict=True)]
        assert land_and_build(platform, batches) == whole

        again = land_and_build(platform, [*([[]] * len(batches)), events])
        check(platform, SPAN)
        for name in ("raw_events", "rejected_events"):
            assert len(again[name]) == 2 * len(whole[name])
        assert {name: again[name] for name in DERIVED} == {name: whole[name] for name in DERIVED}

    run()


def test_a_late_event_that_moves_cuts_changes_the_days_after_its_own(tmp_path: Path) -> None:
    """26 hours of continuous activity with one session id. The first event, which arrives last, determines the cuts."""
    day = datetime(2026, 3, 10)
    on_time = [event(str(hour), day + hour * HOUR, session_id="s1", event="page_view") for hour in (10, 17, 25)]
    late = event("late", day - HOUR, received_at=day + 26 * HOUR, session_id="s1")
    parts = land_and_build(open_platform(tmp_path / "parts"), [on_time, [late]])
    assert parts == land_and_build(open_platform(tmp_path / "whole"), [[*on_time, late]])
    starts = sorted(row["started_at"] for row in parts["sessions"])
    assert starts == [day - HOUR, day + 25 * HOUR]
    assert sum(row["events"] for row in parts["sessions"]) == 4


@pytest.mark.skipif(not SHARED.exists(), reason="the real data sets are not in ../shared/data")
def test_the_apache_log_gives_the_known_sessions(radar_home: Path) -> None:
    platform = open_platform(radar_home, start_date="2015-01-01")
    file = SHARED / "apache-log/apache_logs.log"
    import_shared(platform, file, format="apache", log=AccessLog("https://site.example", keeps_others=False))
    load(platform)
    rebuild_stale(platform)
    sizes = visits_of_log(file)
    (row,) = platform.rows("sessions", "select count(*) n, count(*) filter (where events = 1) single from {table}")
    assert row == {"n": len(sizes), "single": sizes.count(1)}
    (rejected,) = platform.rows("rejected_events")
    assert rejected["line_number"] >= 1
    assert len(platform.rows("events")) == sum(sizes) > 3_000


FILES_OF_LOG = (
    *(".png", ".css", ".ico", ".jpg", ".js", ".txt", ".gif", ".ttf", ".pdf", ".xml", ".jar", ".log", ".svg", ".conf"),
    *(".exe", ".xsl", ".jpeg", ".deb", ".swf", ".gz", ".pyc", ".doc", ".woff", ".gem", ".zip"),
)
"""Endings of the files in the Apache log that are not pages."""


def visits_of_log(file: Path) -> list[int]:
    """Page views of each visit: successful GETs of pages by address and browser, without a gap of more than 30 minutes."""
    request = re.compile(
        r'(\S+) \S+ \S+ \[(.+?)\] "GET ([^ ?#]*)[^"]*" (?:200|203|206|304) \S+ "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"\s*$'
    )
    times: dict[tuple[str, str], list[datetime]] = {}
    for line in file.read_text(errors="replace").splitlines():
        found = request.match(line)
        if found and not found[3].lower().endswith(FILES_OF_LOG):
            at = datetime.strptime(found[2], "%d/%b/%Y:%H:%M:%S %z")
            times.setdefault((found[1], found[4]), []).append(at)
    sizes = []
    for each in map(sorted, times.values()):
        starts = [0, *(i for i in range(1, len(each)) if each[i] - each[i - 1] > timedelta(minutes=30)), len(each)]
        sizes += [end - start for start, end in itertools.pairwise(starts)]
    return sizes


@pytest.mark.skipif(not SHARED.exists(), reason="the real data sets are not in ../shared/data")
def test_replayed_history_equals_a_rebuild_from_scratch_after_every_batch(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The git history by received time, with events up to 108 days late; `--batches 77` of it, or 10 of 108 days, are all.

    Its repositories are in six projects, each in a time zone of its own.
    """
    batches, days = (int(str(request.config.getoption(name))) for name in ("--batches", "--batch-days"))
    first = datetime(2024, 1, 1, tzinfo=UTC)
    edges = [first + number * timedelta(days=days) for number in range(batches + 1)]
    with gzip.open(SHARED / "git-events/commits.csv.gz", "rt") as file:
        commits = list(csv.DictReader(file))
    project_of = dict(zip(sorted({row["project"] for row in commits}), itertools.cycle(ZONES_OF_HISTORY), strict=False))
    platform = open_platform(tmp_path / "replayed", ZONES_OF_HISTORY, start_date="2024-01-01")
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        batch = [row for row in commits if low.timestamp() <= int(row["received_time"]) < high.timestamp()]
        happened = {datetime.fromtimestamp(int(row["event_time"]), UTC).replace(tzinfo=None) for row in batch}
        for project in ZONES_OF_HISTORY:
            part = tmp_path / f"{project}-{number}.csv"
            with part.open("w", newline="") as out:
                writer = csv.DictWriter(out, fieldnames=list(commits[0]))
                writer.writeheader()
                writer.writerows(row for row in batch if project_of[row["project"]] == project)
            columns = {"timestamp": "event_time", "received_at": "received_time"}
            import_shared(platform, part, project, format="csv", mapping=columns)
        load(platform)
        hours, _ = rebuild_stale(platform)
        touched = {at.replace(minute=0, second=0) for at in happened if at >= START_OF_HISTORY}
        assert hours == touched, "only the hours of the batch's events were rebuilt"

        scratch = open_platform(tmp_path / f"scratch-{number}", ZONES_OF_HISTORY, start_date="2024-01-01")
        shutil.copytree(platform.settings.landing, scratch.settings.landing, dirs_exist_ok=True)
        load(scratch)
        rebuild_stale(scratch)
        assert scratch.tables() == platform.tables()


def import_shared(platform: Platform, file: Path, project: str = "shop", **options: Any) -> None:
    """Import a file into one project, as the commands in the docs do."""
    settings = platform.settings
    import_file(
        file, settings.landing, engine=platform.lakehouse.engine, start=settings.start_date, project=project, **options
    )
