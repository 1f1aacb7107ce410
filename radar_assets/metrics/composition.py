"""The statements that compute metrics: a SQL model, completed with a column for each aggregate and a branch for each metric."""

from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from typing import Any, Literal

from radar_assets.lakehouse.fallback import Composite
from radar_assets.lakehouse.sql import Model
from radar_assets.metrics.registry import STANDARD_METRICS, Grain, Metric

Bucket = Literal["window_start", "hour", "date"]
"""A column by which a model groups."""


def composite(compose: Callable[[Sequence[Metric]], Model], metrics: Sequence[Metric]) -> Composite:
    """The statement of metrics, with a fallback that omits custom metrics where they fail. Standard metrics are never omitted.

    Args:
        compose: returns the statement of some metrics.
    """
    standard = [metric for metric in metrics if metric in STANDARD_METRICS]
    return Composite(compose, standard, [metric for metric in metrics if metric not in STANDARD_METRICS])


def compose(model: Model, metrics: Sequence[Metric], grain: Grain) -> Model:
    """The statement that computes the metrics of a grain, one row for each value.

    Args:
        model: `hourly_metrics` or `daily_metrics`; its CTEs `of_events` and `of_sessions` get a column for each aggregate.
    """
    chosen = tuple(metric for metric in metrics if grain in metric.grains)
    return _compose(model, chosen, "hour" if grain == "hour" else "date")


def compose_five_minutes(model: Model, metrics: Sequence[Metric]) -> Model:
    """The statement that computes metrics of events by five minutes. No table holds these.

    Args:
        model: `hourly_metrics`.
    """
    return _compose(
        _by_five_minutes(model), tuple(metric for metric in metrics if metric.source == "events"), "window_start"
    )


@cache
def _by_five_minutes(model: Model) -> Model:
    """`hourly_metrics` by five minutes: with `window_start` instead of `hour`, over all rows of `events`."""
    from sqlglot import exp

    tree: Any = model.parse()
    [hits] = [cte.this for cte in tree.ctes if cte.alias == "hits"]
    hits.set("where", None)
    [hour] = [column for column in hits.selects if column.alias == "hour"]
    hour.set("this", exp.maybe_parse("time_bucket(interval 5 minutes, event_time)", dialect="duckdb"))
    for name in tree.find_all(exp.Identifier):
        if name.this == "hour":
            name.set("this", "window_start")
    return Model("five_minute_metrics", tree.sql(dialect="duckdb"))


@cache
def _compose(model: Model, metrics: tuple[Metric, ...], bucket: Bucket) -> Model:
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
    return Model(model.name, body.sql(dialect="duckdb", comments=False, pretty=True))
