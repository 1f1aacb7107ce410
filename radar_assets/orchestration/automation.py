"""Keeps derived tables up to date: a job and a stale-partition sensor for each grid, and a schedule that closes the day.

Sensors compare the tables and request runs for the difference. The cursor only makes ticks cheaper: without it, a sensor reads
everything and comes to the same result.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from radar_assets.calendar import Calendar
from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.graph import Graph
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.staleness import outdated, unbuilt, with_other_hours
from radar_assets.lakehouse.table import Table, Transform
from radar_assets.orchestration.attempts import ATTEMPT_TAG
from radar_assets.orchestration.job_kinds import AGGREGATION
from radar_assets.orchestration.materialization import INCREMENTAL_TAG
from radar_assets.orchestration.run_requests import KEY, due_partitions, has_rested, request, requests, since_recovery
from radar_assets.windows import Grids, Window, day_key

TICK_S = 30
REFRESH_EVERY: Mapping[Transform, timedelta] = {"hour": timedelta(0), "day": timedelta(minutes=15)}
"""Minimum time between two rebuilds of a partition. Days cost far more than hours, and their readers can wait longer."""
CLOSED_AFTER = timedelta(hours=1)
"""How long after its end a day is closed."""
CLOSE_EVERY = timedelta(minutes=15)
"""Time between ticks of the schedule that closes days: all time zones in use are ahead of UTC or behind it by a multiple."""
INCREMENTAL = {INCREMENTAL_TAG: "true"}
HOURLY_JOB, DAILY_JOB = "hourly_job", "daily_job"


def grid_tables(tables: Graph, grid: Transform) -> list[Table]:
    """The tables that the job of a grid builds, in order: the derived tables and the sources of the hourly ones."""
    derived = tables.derived(grid)
    sources = {parent.name: parent for table in derived for parent in table.inputs if not parent.inputs}
    return [*sources.values(), *derived]


def build_jobs(tables: Graph, grids: Grids, apart: Sequence[dg.AssetCheckKey] = ()) -> list[Any]:
    """The jobs of both grids, of a type that Dagster doesn't export.

    Args:
        apart: checks that have their own triggers.
    """
    checks = dg.AssetSelection.checks(*apart)

    def job(name: str, grid: Transform, description: str) -> Any:
        selection = dg.AssetSelection.assets(*(table.name for table in grid_tables(tables, grid)))
        return dg.define_asset_job(
            name,
            selection=selection - checks,
            partitions_def=grids.of(grid),
            tags=AGGREGATION.tags(),
            description=description,
        )

    return [
        job(
            HOURLY_JOB,
            "hour",
            "From the landing zone to hourly metrics, for received hours and the events of the same hours.",
        ),
        job(DAILY_JOB, "day", "Sessions, daily metrics and breakdowns."),
    ]


def build_sensors(
    tables: Graph, grids: Grids, checks: Sequence[dg.AssetCheckKey], definitions: Mapping[str, Collection[str]]
) -> list[dg.SensorDefinition]:
    """The sensors over stale hours and days, enabled by default.

    Args:
        checks: the checks that run with their assets.
        definitions: as for `staleness.outdated`, by table.
    """
    hours = stale_partitions_sensor(
        "stale_hours_sensor",
        HOURLY_JOB,
        "hour",
        tables,
        grids,
        checks=checks,
        definitions=definitions,
        description="Rebuilds hours that late lines have changed.",
    )
    days = stale_partitions_sensor(
        "stale_days_sensor",
        DAILY_JOB,
        "day",
        tables,
        grids,
        checks=checks,
        definitions=definitions,
        description="Rebuilds days whose hours have changed, and builds days that were missed during downtime.",
    )
    return [hours, days]


def stale_partitions_sensor(
    name: str,
    job: str,
    grid: Transform,
    tables: Graph,
    grids: Grids,
    *,
    checks: Sequence[dg.AssetCheckKey],
    definitions: Mapping[str, Collection[str]],
    description: str,
) -> dg.SensorDefinition:
    """A sensor that requests runs for the stale partitions of a grid's derived tables.

    A run rebuilds a stale partition and those downstream of it. Partitions with omissions whose definitions have changed are
    rebuilt too.
    """

    @dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.SensorResult:
        settled = Settled(context.cursor)
        snapshots: dict[str, Snapshot] = {}
        calendar = lakehouse.calendar()
        covered = {table.name: set[int]() for table in tables.derived(grid)}
        found: list[dg.RunRequest] = []
        for table in tables.derived(grid):
            for needed in (table.inputs[0].name, table.name):
                if needed not in snapshots:
                    snapshots[needed] = lakehouse.snapshot(needed)
            parent, child = snapshots[table.inputs[0].name], snapshots[table.name]
            key = since_recovery(table.name, parent, child)
            if table.has_days_of_hours and calendar.revision:
                key += f"#{calendar.revision}"
            behind = unbuilt(
                parent,
                child,
                calendar,
                grids.start_of(grid).date(),
                newer_than=settled.before(key, parent.sequence_number),
            )
            settled.advance(key, parent.sequence_number, behind)
            pending = {unit: at for unit, at in behind.items() if unit not in covered[table.name]}
            downstream = [other.name for other in tables.downstream(table)]
            for other in downstream:
                covered[other] |= set(behind)
            due = due_partitions(pending, grid, grids, calendar)
            # A change of a time zone happens once, and somebody waits for its days.
            moved = {from_unit(unit, grid) for unit in with_other_hours(child, calendar)} if due else set()
            rested = {
                at: number
                for at, number in due.items()
                if at in moved or has_rested(context.instance, table.name, at.strftime(KEY[grid]), REFRESH_EVERY[grid])
            }
            assets = (table.name, *downstream)
            found += requests(context.instance, rested, grid, assets, prefix=key, tags=INCREMENTAL, checks=checks)
            current = definitions.get(table.name, ())
            due_again = outdated(child, current) - set(behind) - covered[table.name]
            changed = _last_changes(child, due_again)
            due = due_partitions(changed, grid, grids, calendar)
            digest = hashlib.sha256(" ".join(sorted(current)).encode()).hexdigest()[:16]
            prefix = f"{table.name}:{digest}"
            found += requests(
                context.instance, due, grid, (table.name,), prefix=prefix, tags=INCREMENTAL, checks=checks
            )
        return dg.SensorResult(run_requests=found, cursor=settled.cursor())

    return sensor


def _last_changes(table: Snapshot, partitions: Collection[int]) -> dict[int, int]:
    """Sequence number of the last change of each partition, by hour or day since 1970."""
    if not partitions:
        return {}
    unit = table.table.grid
    changes = table.changes(Window(from_unit(min(partitions), unit), from_unit(max(partitions) + 1, unit)))
    return {value: changes.get(value, 0) for value in partitions}


def build_schedules(tables: Graph, grids: Grids, checks: Sequence[dg.AssetCheckKey]) -> list[dg.ScheduleDefinition]:
    """The schedule that closes days, enabled by default.

    Args:
        checks: the checks that run with their assets.
    """
    days = [table.name for table in tables.derived("day")]

    @dg.schedule(
        job_name=DAILY_JOB,
        cron_schedule=f"*/{CLOSE_EVERY // timedelta(minutes=1)} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Closes yesterday at 01:00 of each time zone, so that days without events have a partition too.",
    )
    def daily_close_schedule(
        context: dg.ScheduleEvaluationContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        at = context.scheduled_execution_time.astimezone(UTC).replace(tzinfo=None)
        ended = [day for day in closing_days(lakehouse.calendar(), at) if day >= grids.first_day]
        if not ended:
            return dg.SkipReason("It is 01:00 in no time zone of a project.")
        # If a run fails, the sensor over stale days requests it again.
        return [
            request(
                Window.of_day(day),
                "day",
                days,
                run_key=f"close:{day_key(day)}:{at:%Y-%m-%d-%H:%M}",
                tags={ATTEMPT_TAG: "1"},
                checks=checks,
            )
            for day in ended
        ]

    return [daily_close_schedule]


def closing_days(calendar: Calendar, at: datetime) -> list[date]:
    """The days that ended somewhere an hour before a tick of the schedule, or since its last tick.

    Args:
        at: the time of the tick, naive, UTC.
    """
    return ended_days(calendar, Window(at - CLOSED_AFTER - CLOSE_EVERY, at - CLOSED_AFTER))


def ended_days(calendar: Calendar, window: Window) -> list[date]:
    """The days that ended somewhere in a window, whose start is excluded and whose end is included."""
    return [
        day for day in calendar.days(window) if any(window.start < end <= window.end for end in calendar.closings(day))
    ]


class Settled:
    """For each table, the sequence number of its input up to which no partition is stale.

    Keys are names of tables, extended by `since_recovery`.
    """

    def __init__(self, cursor: str | None) -> None:
        self._numbers: dict[str, int] = json.loads(cursor) if cursor else {}
        self._used: set[str] = set()

    def before(self, key: str, sequence_number: int) -> int:
        """The number as of the last tick, given the current one; 0 if the input was restored to an older state since."""
        self._used.add(key)
        number = self._numbers.get(key, 0)
        return number if number <= sequence_number else 0

    def advance(self, key: str, sequence_number: int, stale_partitions: Mapping[int, int]) -> None:
        """Record that a table is up to date, unless partitions of it are stale."""
        if not stale_partitions:
            self._numbers[key] = sequence_number

    def cursor(self) -> str:
        """The cursor of a sensor."""
        return json.dumps({key: self._numbers[key] for key in self._used & self._numbers.keys()}, sort_keys=True)
