"""`radar demo`: simulates two weeks of traffic, runs the whole graph over it and prints the results."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from radar_assets.cli.chart import columns
from radar_assets.cli.dev import check_port, run_ui
from radar_assets.cli.simulate import Traffic, land, simulated_names
from radar_assets.cli.terminal import counted, err, out, printable, radar_command
from radar_assets.cli.ui_address import local_url
from radar_assets.windows import DAY, Window, contiguous, utc_now

if TYPE_CHECKING:
    from rich.console import Console

    from radar_assets.cli.sql import Connection
    from radar_assets.cli.status import FailedCheck
    from radar_assets.settings import Settings
    from radar_assets.simulator.incidents import Incident, IncidentName

HOST, PORT = "127.0.0.1", 3000
CHARTED = "visitors"
SUMMED = ("page_views", "sessions", "conversions", "revenue")
"""Metrics that can be summed over days."""


def demo(
    *,
    days: int = 14,
    projects: int = 3,
    events: int = 200_000,
    seed: int = 0,
    open: bool = False,
) -> int:
    """Simulate traffic for the days before today, run the whole graph over it and print the results.

    Parameters
    ----------
    days
        Number of days; traffic of fewer than 14 contains no incidents. Days that already have simulated traffic are kept.
    projects
        Number of projects.
    events
        Approximate number of events in total.
    seed
        Random seed. Each seed gives different traffic.
    open
        Afterwards start the UI, like radar dev, and open it in the browser.
    """
    from dagster import DagsterInstance

    from radar_assets.cli.runs import catch_up
    from radar_assets.cli.sql import reading
    from radar_assets.cli.status import failed_checks
    from radar_assets.definitions import build_defs
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    if open:
        check_port(HOST, PORT)
    settings = load_settings().prepare()
    today = utc_now().date()
    whole = Traffic(today - timedelta(days=days), days, projects, events, seed)
    plan = missing_traffic(settings, whole)
    land(settings, plan)
    err().print("Simulated the traffic; now building every table from it ...")
    lakehouse = open_lakehouse(settings)
    catch_up(settings, lakehouse)
    console = out()
    with reading(lakehouse) as connection:
        _print_projects(console, connection, whole, _zones(settings))
        _print_lines(console, connection)
    _print_incidents(console, plan)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        _print_checks(console, failed_checks(instance, build_defs(settings)))
    _print_next(console)
    return run_ui(HOST, PORT) if open else 0


def missing_traffic(settings: "Settings", whole: Traffic) -> list[Traffic]:
    """The part of the traffic that is still to be simulated, so that no day is simulated twice.

    This is all of it if the landing zone has no simulated traffic for these days, or has parts of this same traffic. Otherwise, as
    after a demo some days ago, it is the days without simulated traffic.
    """
    from radar_assets.simulator.traffic import simulate

    present = list(simulated_names(settings))
    days = {day for day, _ in present}
    if not any(whole.start <= day < whole.end for day in days):
        return [whole]
    first = next(simulate(whole.start, whole.days, projects=whole.projects, events=whole.events, seed=whole.seed), None)
    if first and first.name in {name for _, name in present}:
        return [whole]
    starts = [Window.of_day(whole.start).start + index * DAY for index in range(whole.days)]
    spans = contiguous([start for start in starts if start.date() not in days], DAY, whole.days)
    return [
        Traffic(
            start=span.start.date(),
            days=(span.end - span.start) // DAY,
            projects=whole.projects,
            events=max(1, whole.events * ((span.end - span.start) // DAY) // whole.days),
            seed=whole.seed,
        )
        for span in spans
    ]


def _zones(settings: "Settings") -> dict[str, str]:
    """The time zone of each project and its date there, such as `Europe/Berlin, where today is 2 Dec`."""
    from radar_assets.access.projects import list_projects
    from radar_assets.access.time_zones import read_calendar
    from radar_assets.store.database import open_store

    store, now = open_store(settings.database), utc_now()
    calendar = read_calendar(store)
    dates = {project: calendar.date_of(project.id, now) for project in list_projects(store)}
    return {project.id: f"{project.timezone}, where today is {today:%-d %b}" for project, today in dates.items()}


def _print_projects(console: "Console", connection: "Connection", traffic: Traffic, zones: "Mapping[str, str]") -> None:
    """Print a table row and a chart for each project.

    Args:
        zones: what to say of each project's time zone.
    """
    from rich.table import Table
    from rich.text import Text

    span = {"first": traffic.start, "end": traffic.end}
    summed = connection.execute(
        "select project_id, metric, sum(value) from daily_metrics where date >= $first and date < $end group by all",
        span,
    ).fetchall()
    sums = {(project, metric): value for project, metric, value in summed}
    counted = connection.execute(
        "select project_id, count(*), count(distinct visitor_id) filter (where not is_bot) from events"
        " where event_time >= $first and event_time < $end group by project_id order by count(*) desc",
        span,
    ).fetchall()
    table = Table(
        "project", "events", "visitors", *(metric.replace("_", " ") for metric in SUMMED), box=None, pad_edge=False
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for project, events, visitors in counted:
        figures = (f"{sums.get((project, metric), 0):,.0f}" for metric in SUMMED)
        table.add_row(Text(printable(project)), f"{events:,}", f"{visitors:,}", *figures)
    console.print()
    console.print(table)
    for project, *_ in counted:
        daily = connection.execute(
            "select value from daily_metrics where project_id = $project and metric = $metric"
            " and date >= $first and date < $end order by date",
            {**span, "project": project, "metric": CHARTED},
        ).fetchall()
        title = f"{printable(project)}: {CHARTED} per day in {zones.get(project, 'UTC')}"
        _print_chart(console, title, [value for (value,) in daily], traffic)


def _print_chart(console: "Console", title: str, values: Sequence[float], traffic: Traffic) -> None:
    """Print a chart of the daily values; of the latest ones if not all fit."""
    from rich.text import Text

    room = max(console.width - 12, 10)
    values = values[-room:]
    width = 2 if 2 * len(values) <= room else 1
    console.print()
    console.print(Text(title, style="bold"))
    label = f"{max(values, default=0):,.0f}"
    for index, line in enumerate(columns(values, width=width)):
        console.print(Text.assemble(f"{label if index == 0 else '':>9} ", (line, "cyan")), soft_wrap=True)
    first, last = (f"{traffic.end - timedelta(days=days):%-d %b}" for days in (len(values), 1))
    gap = max(width * len(values) - len(first) - len(last), 1)
    console.print(Text(f"{'':9} {first}{'':{gap}}{last}", style="dim"), soft_wrap=True)


def _print_lines(console: "Console", connection: "Connection") -> None:
    """Print how many landed lines became events, duplicates or rejected lines."""
    row = connection.execute(
        "select (select count(*) from raw_events), (select count(*) from events),"
        " (select count(*) from rejected_events)"
    ).fetchone()
    lines, events, rejected = row or (0, 0, 0)
    console.print()
    console.print(
        f"{counted(lines, 'line')} landed = {counted(events, 'event')}"
        f" + {counted(lines - events - rejected, 'duplicate')} + {rejected:,} rejected",
        soft_wrap=True,
    )
    reasons = connection.execute(
        "select reason, count(*) from rejected_events group by reason order by count(*) desc, reason"
    ).fetchall()
    if reasons:
        # Only breaks between reasons, not within one.
        listed = ", ".join(f"{count:,}\N{NO-BREAK SPACE}{reason}" for reason, count in reasons)
        console.print(f"Rejected: {listed}")


def _print_incidents(console: "Console", plan: list[Traffic]) -> None:
    from radar_assets.simulator.incidents import incidents

    planted = [incident for part in plan for incident in incidents(part.start, part.days, projects=part.projects)]
    if planted:
        console.print()
        console.print("Incidents in the simulated traffic (UTC), and how to find them:")
    for incident in planted:
        end = (
            f"{incident.end:%H:%M}" if incident.end.date() == incident.start.date() else f"{incident.end:%-d %b %H:%M}"
        )
        console.print()
        console.print(f"  {incident.start:%-d %b %H:%M} to {end}", style="bold", soft_wrap=True)
        for line in (incident.what, *_searches(incident).splitlines()):
            console.print(f"  {line}", markup=False, soft_wrap=True)


def _searches(incident: "Incident") -> str:
    """The command that shows an incident."""
    return f"{radar_command()} {_SEARCHES[incident.name].format(project=incident.project)}"


_SEARCHES: "dict[IncidentName, str]" = {
    "outage": """\
sql "from hourly_metrics where metric = 'errors'
  and project_id = '{project}' order by value desc limit 5"
""",
    "checkout_failure": """\
sql "select date, count(*) as errors from dated_events
  where project_id = '{project}' and browser = 'Mobile Safari'
  and (properties ->> 'message') like 'PaymentError%'
  group by date order by errors desc limit 5"
""",
    "referrer_spike": """\
sql "from hourly_metrics where metric = 'visitors'
  and project_id = '{project}' order by value desc limit 5"
""",
}
"""The arguments of the command that shows an incident, in lines that fit 80 columns."""


_EXPECTED = {
    "landing_is_fresh": "simulated traffic ends with yesterday. It passes once events arrive.",
    "copies_that_differ": "a few simulated events have the id of another event.",
}
"""Checks that are expected to fail in the demo, and why."""


def _print_checks(console: "Console", failed: "list[FailedCheck]") -> None:
    console.print()
    if not failed:
        console.print("All checks passed.", style="green")
    for check in failed:
        mark = "[yellow]warning[/]" if check.is_warning else "[red]failed[/]"
        console.print(f"{mark} check {check.name} of {check.asset}", soft_wrap=True)
        if check.name in _EXPECTED:
            console.print(f"  Expected: {_EXPECTED[check.name]}", soft_wrap=True)


def _print_next(console: "Console") -> None:
    console.print()
    radar = radar_command()
    for command, what in (
        ("dev", "open the asset graph, send events"),
        ("status", "see the state of each table"),
        ('sql "from daily_metrics"', "query the tables"),
        ("init", "write a radar.yaml with alert rules"),
        ("apply", "start the alerts in radar.yaml"),
    ):
        console.print(f"[bold]{f'{radar} {command}':{len(radar) + 25}}[/]  {what}", soft_wrap=True)
    jobs = f"{local_url(HOST, PORT)}/radar/jobs"
    console.print(f"While {radar} dev runs, the jobs page is at {jobs}", markup=False, soft_wrap=True)
