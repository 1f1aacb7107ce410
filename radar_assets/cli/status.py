"""`radar status`: the state of each table, from the lakehouse, and backfills and failed checks, from Dagster."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.terminal import age, err, out, print_words, printable, radar_command, size
from radar_assets.windows import DAY_KEY, HOUR_KEY, utc_now

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions

    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.orchestration.runtime.backfills import Progress
    from radar_assets.store.database import Store
    from radar_assets.store.models import HealthResult


MAX_ZONES = 4
"""Maximum time zones of one date that are printed."""


@dataclass(frozen=True)
class TableStatus:
    """The state of a table.

    Attributes:
        last_partition: the latest partition that was built, with or without rows.
        committed_at: when the table last changed, in UTC.
        stale: keys of the partitions whose input has changed since they were built, and of days that were missed. For raw events:
            received hours with segments to load; for alerts: hours whose alerts have changed in the store.
    """

    name: str
    last_partition: str | None
    rows: int
    size_bytes: int
    committed_at: datetime | None
    stale: tuple[str, ...]


@dataclass(frozen=True)
class Retry:
    """Stale partitions whose last runs have failed.

    Attributes:
        partitions: their keys, in order.
        attempts: how many runs in a row have failed or were canceled.
        next_at: when the sensor requests them again, in UTC. In the past if it should have: then the daemon is down.
    """

    table: str
    partitions: tuple[str, ...]
    attempts: int
    next_at: datetime


@dataclass(frozen=True)
class FailedCheck:
    """A check whose latest evaluation failed."""

    asset: str
    name: str
    is_warning: bool
    window: str
    at: datetime


def status(*, format: Format = "table") -> None:
    """Show the state of each table, backfills in progress, partitions that wait for a retry, and what is unhealthy or failed.

    Parameters
    ----------
    format
        Output format. In CSV and JSON, backfills, retries and failed checks are part of the row of their table.
    """
    from dagster import DagsterInstance

    from radar_assets.access.projects import list_projects
    from radar_assets.access.time_zones import read_calendar
    from radar_assets.definitions import build_defs
    from radar_assets.operations.health.results import latest
    from radar_assets.orchestration.run_requests import saved_cursor
    from radar_assets.orchestration.runtime.backfills import backfills_in_progress
    from radar_assets.orchestration.runtime.code_location import problem
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings, now = load_settings().prepare(), utc_now()
    store = open_store(settings.database)
    projects, calendar = list_projects(store), read_calendar(store)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        states = tables_status(open_lakehouse(settings), store, saved_cursor(instance, "landing_sensor"))
        unhealthy = [result for result in latest(store) if not result.ok]
        store.close()
        definitions = build_defs(settings)
        failed = failed_checks(instance, definitions)
        waiting = retries(instance, states)
        backfills = backfills_in_progress(instance, now)
        unreachable = problem(instance, now)
    columns = [
        Column("table"),
        Column("last_partition", cell=lambda key: key or "none"),
        Column("rows"),
        Column("size_bytes", heading="size", cell=size),
        Column("committed_at", heading="changed", cell=lambda at: f"{age(now - at)} ago" if at else "never"),
        Column("stale", style=lambda stale: "yellow" if stale else ""),
        Column("backfills", only="data"),
        Column("retries", only="data"),
        Column("failed_checks", only="data"),
    ]
    rows: list[tuple[object, ...]] = [
        (
            state.name,
            state.last_partition,
            state.rows,
            state.size_bytes,
            state.committed_at,
            len(state.stale),
            [_backfill_fields(each) for each in backfills if state.name in _tables_of(each, definitions)],
            [_retry_fields(retry) for retry in waiting if retry.table == state.name],
            [check.name for check in failed if check.asset == state.name],
        )
        for state in states
    ]
    known = {state.name for state in states}
    for asset in sorted({check.asset for check in failed} - known) if format != "table" else ():
        rows.append(
            (asset, None, None, None, None, None, [], [], [check.name for check in failed if check.asset == asset])
        )
    print_list(columns, rows, format)
    if unreachable:
        err().print(f"The daemon runs, but {printable(unreachable)}.", style="red", markup=False)
    if format == "table":
        _print_pace(states)
        _print_zones({project.timezone: calendar.date_of(project.id, now) for project in projects})
        _print_backfills(backfills)
        _print_retries(waiting, now)
        _print_unhealthy(unhealthy, now)
        _print_failed(failed, now)
        radar = radar_command()
        if not projects:
            err().print(
                f"Nothing is set up yet: {radar} dev creates a first project and its key; {radar} demo simulates traffic."
            )
        if not settings.config_file.exists():
            err().print(f"No alert rules yet: {radar} init writes a radar.yaml to start from.")


def _print_pace(states: "list[TableStatus]") -> None:
    """Say when stale partitions are rebuilt, if there are any."""
    from radar_assets.orchestration.automation import REFRESH_EVERY

    if any(state.stale for state in states):
        minutes = int(REFRESH_EVERY["day"].total_seconds() // 60)
        print_words(
            out(),
            f"Stale partitions are rebuilt while {radar_command()} dev or the daemon runs: hours at once, and days at most "
            f"every {minutes} minutes.",
        )


def _print_zones(dates: "Mapping[str, date]") -> None:
    """Print today's date in the time zones of the projects, unless all of them are in UTC."""
    if not dates.keys() - {"UTC"}:
        return
    zones: dict[date, list[str]] = {}
    for zone, today in sorted(dates.items()):
        zones.setdefault(today, []).append(zone)
    out().print("\nDays are those of the projects' time zones. Today is")
    for today, names in sorted(zones.items()):
        shown = names if len(names) <= MAX_ZONES else [*names[: MAX_ZONES - 1], f"{len(names) - MAX_ZONES + 1:,} more"]
        out().print(f"  {today} in {', '.join(shown)}", highlight=False)


def _tables_of(backfill: "Progress", definitions: "Definitions") -> set[str]:
    """The tables that a backfill builds."""
    from dagster import DagsterInvalidDefinitionError, DagsterInvariantViolationError

    if backfill.assets:
        return set(backfill.assets)
    try:
        job = definitions.resolve_job_def(backfill.job)
    except (DagsterInvalidDefinitionError, DagsterInvariantViolationError):
        return set()  # of an earlier release
    return {key.to_user_string() for key in job.asset_layer.executable_asset_keys}


def _backfill_fields(backfill: "Progress") -> dict[str, object]:
    return {
        "id": backfill.id,
        "job": backfill.job,
        "done": backfill.done,
        "failed": backfill.failed,
        "total": backfill.total,
        "elapsed_s": int(backfill.elapsed.total_seconds()),
        "left_s": None if backfill.left is None else int(backfill.left.total_seconds()),
    }


def _print_backfills(backfills: "list[Progress]") -> None:
    from radar_assets.cli.backfill import described

    console = out()
    if backfills:
        console.print()
    for backfill in backfills:
        console.print(f"[cyan]backfill[/] {backfill.job} {backfill.id}: {described(backfill)}", soft_wrap=True)


def _retry_fields(retry: Retry) -> dict[str, object]:
    return {"partitions": retry.partitions, "attempts": retry.attempts, "next_at": retry.next_at}


def _print_retries(waiting: "list[Retry]", now: datetime) -> None:
    console = out()
    if waiting:
        console.print()
    for retry in waiting:
        first, others = retry.partitions[0], len(retry.partitions) - 1
        which = f"{first} and {others:,} more" if others else first
        failed = "1 attempt failed" if retry.attempts == 1 else f"{retry.attempts:,} attempts failed"
        then = f"next in {age(retry.next_at - now)}" if retry.next_at > now else "next is due"
        print_words(console, f"{retry.table}: {which}, {failed}, {then}", "retry", "yellow")


def _print_unhealthy(unhealthy: "list[HealthResult]", now: datetime) -> None:
    console = out()
    if unhealthy:
        console.print()
    for result in unhealthy:
        text = f"{printable(result.component)}: {printable(result.detail)}, {age(now - result.checked_at)} ago"
        print_words(console, text, "unhealthy", "red")


def _print_failed(failed: "list[FailedCheck]", now: datetime) -> None:
    console = out()
    console.print()
    if not failed:
        console.print("No failed checks.")
    for check in failed:
        mark, style = ("warning", "yellow") if check.is_warning else ("failed", "red")
        when = f"{age(now - check.at)} ago"
        text = f"check {check.name} of {check.asset}, {printable(check.window)}, {when}"
        print_words(console, text, mark, style)


def tables_status(lakehouse: "Lakehouse", store: "Store", cursor: str | None) -> list[TableStatus]:
    """The state of each table, in the order of the flow.

    Args:
        cursor: that of `landing_sensor`, which spares a look at years of hours that are loaded.
    """
    from radar_assets.alerts.export import stale_hours
    from radar_assets.events.automation import settled_before
    from radar_assets.events.landing import list_hours
    from radar_assets.events.loading import missing_segments
    from radar_assets.lakehouse.files import EPOCH, from_unit
    from radar_assets.lakehouse.staleness import unbuilt

    snapshots = {name: lakehouse.snapshot(name) for name in lakehouse.tables}
    start, calendar = datetime(*lakehouse.settings.start_date.timetuple()[:3]), lakehouse.calendar()
    settled, now = settled_before(cursor, snapshots["raw_events"]), utc_now()
    changed = (hour for hour, at in list_hours(lakehouse.settings.landing_zone).items() if at >= settled)
    landed = sorted(hour for hour in changed if start <= hour <= now)
    missing = missing_segments(lakehouse, snapshots["raw_events"], landed)
    statuses = []
    for name, snapshot in snapshots.items():
        files = snapshot.files()
        unit = snapshot.table.grid
        last = max((file.partition[0] for file in files if file.partition[0] is not None), default=None)
        key = None if last is None else _key(from_unit(last, unit), unit)
        if name == "raw_events":
            waiting = {segment.received_hour for segment in missing}
        else:
            parent = snapshots[snapshot.table.inputs[0].name] if snapshot.table.inputs else None
            units = unbuilt(parent, snapshot, calendar, start.date()) if parent else stale_hours(store, snapshot)[0]
            waiting = {from_unit(value, unit) for value in units}
        current = snapshot.iceberg.metadata.current_snapshot()
        committed_at = EPOCH + timedelta(milliseconds=current.timestamp_ms) if current else None
        rows, size_bytes = sum(file.rows for file in files), sum(file.size_bytes for file in files)
        keys = tuple(_key(at, unit) for at in sorted(waiting))
        statuses.append(TableStatus(name, key, rows, size_bytes, committed_at, keys))
    return statuses


def _key(at: datetime, unit: str) -> str:
    return at.strftime(HOUR_KEY if unit == "hour" else DAY_KEY)


def retries(instance: "DagsterInstance", states: "list[TableStatus]") -> list[Retry]:
    """The stale partitions whose last runs have failed, by table, number of attempts and time of the next one."""
    from radar_assets.orchestration.attempts import latest_attempts

    found = []
    for state in states:
        waiting: dict[tuple[int, datetime], list[str]] = {}
        for partition, attempt in latest_attempts(instance, state.name, state.stale).items():
            if attempt.next_at is not None:
                waiting.setdefault((attempt.number, attempt.next_at), []).append(partition)
        for (number, next_at), partitions in sorted(waiting.items()):
            found.append(Retry(state.name, tuple(sorted(partitions)), number, next_at))
    return found


def failed_checks(instance: "DagsterInstance", definitions: "Definitions") -> list[FailedCheck]:
    """The checks whose latest evaluation failed: errors first, then in the order of the tables."""
    from dagster import AssetCheckEvaluation, AssetCheckSeverity, AssetKey

    graph = definitions.resolve_asset_graph()
    order = {key: position for position, key in enumerate(graph.toposorted_asset_keys)}
    keys = list(graph.asset_check_keys)
    failed = []
    for key, record in instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).items():
        event = record.event.dagster_event if record.event else None
        evaluation = event.event_specific_data if event else None
        if record.event and isinstance(evaluation, AssetCheckEvaluation) and not evaluation.passed:
            window = evaluation.metadata.get("window")
            failed.append(
                FailedCheck(
                    asset=key.asset_key.to_user_string(),
                    name=key.name,
                    is_warning=evaluation.severity == AssetCheckSeverity.WARN,
                    window=str(window.value) if window else "",
                    at=datetime(1970, 1, 1) + timedelta(seconds=record.event.timestamp),
                )
            )
    return sorted(
        failed, key=lambda check: (check.is_warning, order[AssetKey.from_user_string(check.asset)], check.name)
    )
