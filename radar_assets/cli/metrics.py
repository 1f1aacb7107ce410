"""`radar metrics`: lists the metrics, and computes one for the past."""

from datetime import date
from typing import TYPE_CHECKING

from cyclopts import App

from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.terminal import OPTIONS, counted, out, printable, radar_command
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radar_assets.alerts.rules import Rule
    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.metrics.registry import Metric
    from radar_assets.settings import Settings
    from radar_assets.windows import Window

metrics_app = App(name="metrics", help="List metrics, and compute one for the past.", group_parameters=OPTIONS)


class UnknownMetricError(UsageError):
    """There is no metric of this name."""


@metrics_app.command(name="list")
def list_metrics(*, format: Format = "table") -> None:
    """List the standard metrics and those in radar.yaml.

    Parameters
    ----------
    format
        Output format.
    """
    from radar_assets.metrics.registry import CustomMetric
    from radar_assets.settings import load_settings

    columns = [
        Column("name"),
        Column("title", rank=2, ellipsis=True),
        Column("unit", rank=3),
        Column("grains", heading="per", rank=4),
        Column("declared_in", heading="from", rank=1),
    ]
    rows = (
        (
            metric.name,
            metric.title,
            metric.unit,
            " and ".join(metric.grains),
            "radar.yaml" if isinstance(metric, CustomMetric) else "standard",
        )
        for metric in _registered(load_settings())
    )
    print_list(columns, rows, format)


@metrics_app.command
def backfill(name: str, /, *, since: date, all: bool = False) -> None:
    """Compute a metric for hours and days that were built before it was declared, oldest first.

    It rebuilds the partitions that lack the metric, and judges the alert rules on them. Running it again changes nothing.

    Parameters
    ----------
    name
        Name of the metric.
    since
        First day, e.g. 2026-10-01: days in the time zones of the projects, and hours from midnight UTC.
    all
        Rebuild all partitions since then, also those that have the metric, for example because its expression has changed.
    """
    from radar_assets.cli.runs import rebuild
    from radar_assets.metrics.coverage import TABLES, coverage
    from radar_assets.orchestration.grids import load_grids
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse
    from radar_assets.windows import Window, utc_now

    settings = load_settings().prepare()
    metric = _find(_registered(settings), name)
    store, lakehouse, console = open_store(settings.database), open_lakehouse(settings), out()
    grids, end = load_grids(settings), Window.of_day(lakehouse.calendar().last_begun(utc_now())).end
    if Window.of_day(since).start >= end:
        raise ValueError(f"--since {since} is in the future")
    for grain in metric.grains:
        window = Window(max(Window.of_day(since).start, grids.start_of(grain)), end)
        before = coverage(lakehouse, metric, grain, window)
        due = before.built if all else before.lacking
        rebuild(settings, TABLES[grain], due)
        span = {"since": since, "all": all, "partitions": len(due)}
        audit(store, "metrics.backfill", name, table=TABLES[grain].name, **span)
        left = len(coverage(lakehouse, metric, grain, window).lacking)
        console.print(f"{TABLES[grain].name}: rebuilt {len(due):,} of {counted(len(before.built), grain)}.")
        if left:
            console.print(f"No value in {counted(left, grain)}: the expression gives none for their events.")


def _registered(settings: "Settings") -> "Sequence[Metric]":
    from radar_assets.config import load_metrics
    from radar_assets.metrics.registry import registry

    return registry(load_metrics(settings.config_file, required=settings.config is not None))


def _find(metrics: "Sequence[Metric]", name: str) -> "Metric":
    from difflib import get_close_matches

    by_name = {metric.name: metric for metric in metrics}
    if name not in by_name:
        near = get_close_matches(name, by_name, 1)
        hint = f"did you mean {near[0]}?" if near else f"{radar_command()} metrics list shows all"
        raise UnknownMetricError(f"unknown metric {printable(name)}; {hint}")
    return by_name[name]


def missing_note(lakehouse: "Lakehouse", metrics: "Sequence[Metric]", rule: "Rule", span: "Window") -> str:
    """A note on windows in which the metric of a rule lacks values, with the command that computes them; may be empty.

    Ratios and averages may have none in some windows, so they have to have none in all. Values of five minutes are always computed
    from events.
    """
    from radar_assets.metrics.coverage import coverage

    if rule.window == "5m":
        return ""
    metric = next(metric for metric in metrics if metric.name == rule.metric)
    found = coverage(lakehouse, metric, "hour" if rule.window == "1h" else "day", span)
    if not found.lacking or (metric.empty_value is None and len(found.lacking) < len(found.built)):
        return ""
    is_certain = metric.empty_value is not None
    return (
        f"{metric.name} has no value in {len(found.lacking):,} of {len(found.built):,} windows:"
        f" the metric {'is' if is_certain else 'may be'} newer than they are. To compute it:"
        f" {radar_command()} metrics backfill {metric.name} --since {found.lacking[0]:%Y-%m-%d}"
    )
