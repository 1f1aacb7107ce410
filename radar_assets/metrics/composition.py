"""The statements that compute metrics: a SQL model, completed with a column for each aggregate and a branch for each metric."""

from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from typing import Any, Literal

from radar_assets.lakehouse.fallback import Composite
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.metrics.registry import STANDARD_METRICS, Grain, Metric

Bucket = Literal["window_start", "hour", "date"]
"""A column by which a model groups."""


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
        model: `five_minute_metrics`, which equals `hourly_metrics` except for the time it groups by.
    """
    return _compose(model, tuple(metric for metric in metrics if metric.source == "events"), "window_start")


@cache
def _compose(model: SqlModel, metrics: tuple[Metric, ...], bucket: Bucket) -> SqlModel:
    from sqlglot import exp

    from radar_assets.metrics.expressions import computation

    tree: Any = model.parse()
    expressions = {cte.alias: cte.this for cte in tree.ctes}
    branches = []
    for metric in metrics:
        relation = f"of_{metric.source}"
        rows = expressions[relation]
        table = rows.args["from_"].this.name
        present = "session_id" if metric.source == "sessions" else None
        made = computation(metric.expression, metric.source, metric.name, table, present=present)
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
    # Nulls and values too large for a double have no row. Without an order, DuckDB writes the branches in parallel, each to its own
    # file in every partition.
    body = exp.select("*").from_(computed).where("isfinite(value)").order_by(exp.column(bucket))
    body.set("with_", ctes)
    return SqlModel(model.name, body.sql(dialect="duckdb", comments=False, pretty=True))
