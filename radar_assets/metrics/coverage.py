"""Which partitions of the metric tables lack a metric, as those do that were built before it was declared."""

from dataclasses import dataclass
from datetime import datetime

from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.lakehouse.table import Table, Transform
from radar_assets.metrics.registry import Metric
from radar_assets.metrics.tables import DAILY_METRICS, HOURLY_METRICS, LAYER
from radar_assets.windows import Window

TABLES: dict[Transform, Table] = {"hour": HOURLY_METRICS, "day": DAILY_METRICS}
"""The metric table of each grain."""
_MODELS: dict[Transform, str] = {"hour": "hours_without_metric", "day": "days_without_metric"}


@dataclass(frozen=True)
class Coverage:
    """The partitions of a metric table in a window that have events.

    Attributes:
        built: the start of each, in order.
        lacking: those in which no project has a value of the metric.
    """

    built: list[datetime]
    lacking: list[datetime]


def coverage(lakehouse: Lakehouse, metric: Metric, grain: Transform, window: Window) -> Coverage:
    """The partitions in a window that lack a metric. Those without any events count neither way."""
    snapshot = lakehouse.snapshot(TABLES[grain].name)
    files = [ref for ref in snapshot.files(window) if ref.rows]
    if not files:
        return Coverage([], [])
    relation = Files(snapshot.table, [ref.local_path for ref in files], snapshot.evolved)
    rows = lakehouse.engine.query(
        load_model(LAYER, _MODELS[grain]), {snapshot.table.name: relation}, {"metric": metric.name}
    )
    built = sorted({from_unit(ref.partition[0] or 0, snapshot.table.grid) for ref in files})
    return Coverage(built, rows["starts_at"].cast("timestamp[us]").to_pylist())
