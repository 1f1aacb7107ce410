"""How metrics are computed when they fail together: one at a time, so that the faulty one is left out and no other.

The guards of expressions are meant to leave nothing to do here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from radar_assets.lakehouse.engines.limits import StatementTimeoutError, is_fault_of_statement, time_limit_s
from radar_assets.lakehouse.inputs import Inputs
from radar_assets.lakehouse.sql import Model
from radar_assets.metrics.registry import STANDARD_METRICS, Metric
from radar_assets.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa

    from radar_assets.lakehouse.engines.base import Engine

Statement = Callable[[Sequence[Metric], Sequence[Window]], "tuple[Model, Inputs, Mapping[str, Any]]"]
"""Gives what computes metrics for windows: a model, its inputs and its parameters."""
Faults = dict[tuple[str, Window], str]
"""Why a metric could not be computed, by its name and window."""


def computed(
    engine: "Engine", statement: Statement, metrics: Sequence[Metric], windows: Sequence[Window]
) -> "tuple[pa.Table, Faults]":
    """The values of metrics, of all of them at once if that succeeds, and what was left out."""
    try:
        return _query(engine, statement, metrics, windows), {}
    except Exception as error:
        if not is_fault_of_statement(error):
            raise
        return computed_apart(engine, statement, metrics, windows)


def computed_apart(
    engine: "Engine", statement: Statement, metrics: Sequence[Metric], windows: Sequence[Window]
) -> "tuple[pa.Table, Faults]":
    """The values of metrics, each computed by itself, and what was left out.

    Standard metrics are sound, so what fails them too is raised: it is no metric's fault.

    Args:
        windows: those in which a metric can be left out by itself.
    """
    import pyarrow as pa

    model, inputs, parameters = statement([metric for metric in metrics if metric in STANDARD_METRICS], windows)
    tables, faults = [engine.query(model, inputs, parameters)], Faults()
    for metric in metrics:
        if metric not in STANDARD_METRICS:
            tables += _computed_alone(engine, statement, metric, windows, faults)
    return pa.concat_tables(tables), faults


def _computed_alone(
    engine: "Engine", statement: Statement, metric: Metric, windows: Sequence[Window], faults: Faults
) -> "list[pa.Table]":
    """The values of a metric in those windows in which it can be computed; the others become faults."""
    try:
        return [_query(engine, statement, [metric], windows)]
    except Exception as error:
        if not is_fault_of_statement(error):
            raise
        # To try less when time is short would take it again for each half.
        if len(windows) == 1 or isinstance(error, StatementTimeoutError):
            faults |= {(metric.name, window): _reason(error) for window in windows}
            return []
    half = len(windows) // 2
    first = _computed_alone(engine, statement, metric, windows[:half], faults)
    return first + _computed_alone(engine, statement, metric, windows[half:], faults)


def _query(engine: "Engine", statement: Statement, metrics: Sequence[Metric], windows: Sequence[Window]) -> "pa.Table":
    model, inputs, parameters = statement(metrics, windows)
    return engine.query(model, inputs, parameters, limit_s=time_limit_s(inputs))


def _reason(error: Exception) -> str:
    """Why a metric failed; without DuckDB's message, which has values of the rows in it."""
    return str(error) if isinstance(error, StatementTimeoutError) else str(error).split(":")[0].lower()
