"""`radar demo` and `radar simulate`: traffic from the landing zone to the summary, with no day simulated twice."""

import io
import re
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from radar_assets.access.projects import list_projects
from radar_assets.calendar import zone_info
from radar_assets.cli.demo import _print_checks, _print_incidents, missing_traffic
from radar_assets.cli.simulate import Traffic, land, simulated_names
from radar_assets.cli.sql import reading
from radar_assets.cli.status import FailedCheck
from radar_assets.events.landing import list_hours, list_segments
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.first_day import first_day
from radar_assets.tables import TABLES, open_lakehouse
from radar_assets.windows import utc_now
from radar_assets_tests.cli.conftest import Radar, cells

TODAY = utc_now().date()


def files(landing: Path) -> dict[Path, bytes]:
    """The landing zone's files."""
    return {file: file.read_bytes() for file in landing.rglob("*") if file.is_file()}


def test_a_demo_shows_every_project_and_a_second_one_changes_nothing(radar: Radar, settings: Settings) -> None:
    today = utc_now().date()
    first = radar("demo --days 2 --events 3000")
    assert first.code == 0, first.err
    zones = {"lumen-shop": "Europe/Berlin", "harbor-crm": "America/New_York", "pico-games": "Pacific/Auckland"}
    for project, zone in zones.items():
        assert re.search(rf"^{project} +[\d,]+ +[\d,]+ +[\d,]+ ", first.out, re.MULTILINE)
        there = f"{datetime.now(zone_info(zone)):%-d %b}"
        assert f"{project}: visitors per day in {zone}, where today is {there}\n" in first.out
    counts = re.search(
        r"([\d,]+) lines landed = ([\d,]+) events \+ ([\d,]+) duplicates \+ ([\d,]+) rejected", first.out
    )
    assert counts
    lines, events, copies, rejected = (int(count.replace(",", "")) for count in counts.groups())
    assert lines == events + copies + rejected
    assert 2000 < events < 4500
    for step in ("radar dev", "radar init", "radar apply"):
        assert re.search(rf"^{step} ", first.out, re.MULTILINE)
    assert first.out.endswith("the jobs page is at http://127.0.0.1:3000/radar/jobs\n")
    if "landing_is_fresh" in first.out:
        assert "landing_is_fresh of raw_events\n  Expected: simulated traffic ends" in first.out
    assert max(map(len, first.out.splitlines())) <= 80
    assert "failed" not in first.out

    days = f"{today - timedelta(days=2)} to {today - timedelta(days=1)}"
    steps = re.findall(r"^(.*): (\w+ \w+) \.\.\. \((.*)\)$", first.err, re.MULTILINE)
    # In New York, the traffic begins on the day before, and in Auckland it ends a day later.
    local = f"{TODAY - timedelta(days=3)} to {TODAY}"
    assert [step[:2] for step in steps] == [(days, "48 hours"), (local, "4 days")], "each step says that it has begun"
    assert re.fullmatch(r"192 of 204 partitions, about \d+ s left", steps[1][2])

    landed = files(settings.landing)
    second = radar("demo --days 2 --events 3000")
    assert (second.code, second.out) == (0, first.out)
    assert files(settings.landing) == landed
    assert first_day(settings) == today - timedelta(days=2), "partitions start with the traffic"
    assert " ... (" not in second.err, "it runs nothing"

    table = cells(radar("status").out)
    assert {table[name][-1] for name in TABLES} == {"0"}


def test_each_incident_is_printed_with_a_query_that_is_valid(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    console = Console(width=80, file=io.StringIO())
    _print_incidents(console, [Traffic(TODAY - timedelta(days=30), 30, 3, 1, 0)])
    printed = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert max(map(len, printed.splitlines())) <= 80
    queries = re.findall(r'  uv run radar sql "([^"]+)"', printed)
    assert len(queries) == 3
    with reading(open_lakehouse(settings)) as connection:
        assert [connection.execute(query).fetchall() for query in queries] == [[], [], []]


def test_checks_that_may_fail_in_the_demo_are_explained() -> None:
    console = Console(width=80, file=io.StringIO())
    names = ("copies_that_differ", "event_ids_are_unique")
    _print_checks(console, [FailedCheck("events", name, name == names[0], "", utc_now()) for name in names])
    assert console.file.getvalue().splitlines()[1:] == [  # pyright: ignore[reportAttributeAccessIssue]
        "warning check copies_that_differ of events",
        "  Expected: a few simulated events have the id of another event.",
        "failed check event_ids_are_unique of events",
    ]


@pytest.mark.parametrize(
    ("present", "asked", "planned"),
    [
        ([], (4, 4), [(4, 4)]),
        ([(4, 4)], (4, 4), [(4, 4)]),
        ([(5, 4)], (4, 4), [(1, 1)]),
        ([(3, 2)], (5, 5), [(5, 2), (1, 1)]),
        ([(9, 2)], (4, 4), [(4, 4)]),
        ([(4, 4)], (2, 2), []),
    ],
    ids=["nothing there", "the same", "another day", "days in between", "long ago", "all there"],
)
def test_days_with_simulated_traffic_are_not_simulated_again(
    settings: Settings, present: list[tuple[int, int]], asked: tuple[int, int], planned: list[tuple[int, int]]
) -> None:
    def traffic(before: int, days: int, events: int) -> Traffic:
        return Traffic(TODAY - timedelta(days=before), days, 1, events, 0)

    land(settings, [traffic(before, days, days * 300) for before, days in present])
    plan = missing_traffic(settings, traffic(*asked, asked[1] * 300))
    assert plan == [traffic(before, days, days * 300) for before, days in planned]


def test_the_same_arguments_write_the_same_segments_once(radar: Radar, settings: Settings) -> None:
    command = f"simulate --days 1 --projects 2 --events 500 --start {TODAY - timedelta(days=3)}"
    first = radar(command)
    assert first.code == 0, first.err
    landed = files(settings.landing)
    assert {day for day, _ in simulated_names(settings)} == {TODAY - timedelta(days=3)}
    assert [project.name for project in list_projects(open_store(settings.database))] == ["Harbor CRM", "Lumen Shop"]
    assert radar(command).out.startswith("Wrote 0 new segments")
    assert files(settings.landing) == landed

    hour = min(list_hours(settings.landing))
    (segment,) = list_segments(settings.landing, hour)
    segment.local_path.unlink()
    assert radar(command).out.startswith("Wrote 1 new segment ")
    assert files(settings.landing) == landed

    assert radar(f"{command} --seed 1").code == 0
    assert len(files(settings.landing)) > 1.5 * len(landed)


@pytest.mark.parametrize("arguments", ["--days 0", "--events 0", "--projects 0", f"--start {date(2025, 12, 1)}"])
def test_invalid_arguments_are_refused(radar: Radar, settings: Settings, arguments: str) -> None:
    run = radar(f"simulate {arguments}")
    assert run.code == 1
    assert run.err.splitlines()[-1].startswith("radar: ")
    assert list_hours(settings.landing) == {}
