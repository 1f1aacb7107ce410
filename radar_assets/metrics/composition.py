"""The statements that compute metrics: a SQL model, completed with a column for each aggregate and a branch for each metric."""

from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from typing import Any

from radar_assets.events.event_names import meaning
from radar_assets.lakehouse.fallback import Composite
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.metrics.registry import STANDARD_METRICS, Grain, Metric

_WIDTHS = {"window_start": "interval 5 minutes", "hour": "interval 1 hour"}
"""Widths of the windows of `hourly_metrics.sql`, by the column that holds their start."""


def composite(compose: Callable[[Sequence[Metric]], SqlModel], metrics: Sequence[Metric]) -> Composite:
    """The statement of metrics, with a fallback that omits custom metrics where they fail. Standard metrics are never omitted.

    Args:
        compose: returns the statement of some metrics.
    """
    standard = [metric for metric in metrics if metric in STANDARD_METRICS]
    return Composite(compose, standard, [metric for metric in metrics if metric not in STANDARD_METRICS])


def compose(model: SqlModel, metrics: Sequence[Metric], grain: Grain) -> SqlModel:
    """The statement that computes the metrics of a grain, one row for each value.

    Args:
        model: `hourly_metrics` or `daily_metrics`; its CTEs `of_events` and `of_sessions` get a column for each aggregate.
    """
    chosen = tuple(metric for metric in metrics if grain in metric.grains)
    return _compose(model, chosen, "hour" if grain == "hour" else "date")


def compose_five_minutes(model: SqlModel, metrics: Sequence[Metric]) -> SqlModel:
    """The statement that computes metrics of events by five minutes. No table holds these.

    Args:
        model: `hourly_metrics`. The start of each five minutes is in the column `window_start`.
    """
    chosen = tuple(metric for metric in metrics if metric.source == "events")
    return _compose(SqlModel("five_minute_metrics", model.sql), chosen, "window_start")


@cache
def _compose(model: SqlModel, metrics: tuple[Metric, ...], time_column: str) -> SqlModel:
    from sqlglot import exp

    from radar_assets.metrics.expressions import computation

    tree: Any = model.with_fragments(width=_WIDTHS.get(time_column, ""), meaning=meaning()).parse()
    bucket = "window_start" if time_column in _WIDTHS else time_column
    expressions = {cte.alias: cte.this for cte in tree.ctes}
    branches = []
    for metric in metrics:
        relation = f"of_{metric.source}"
        rows = expressions[relation]
        table = rows.args["from_"].this.name
        made = computation(metric.expression, metric.source, metric.name, table)
        for column, aggregate in made.aggregates.items():
            rows.select(exp.alias_(aggregate, column, quoted=True), copy=False)
        branches.append(
            exp.select(
                exp.column("project_id"),
                exp.column(bucket),
                exp.alias_(exp.Literal.string(metric.name), "metric"),
                exp.alias_(exp.cast(made.value, "double"), "value"),
            ).from_(exp.to_table(relation))
        )
    ctes = tree.args["with_"].pop()
    computed = reduce(partial(exp.union, distinct=False, copy=False), branches, tree).subquery("computed")
    columns = ("project_id", exp.alias_(exp.column(bucket), time_column), "metric", "value")
    # Nulls and values too large for a double have no row. Without an order, DuckDB writes the branches in parallel, each to its own
    # file in every partition.
    body = exp.select(*columns).from_(computed).where("isfinite(value)").order_by(exp.column(bucket))
    body.set("with_", ctes)
    return SqlModel(model.name, body.sql(dialect="duckdb", comments=False, pretty=True))
