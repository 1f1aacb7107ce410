"""Checks of the metric tables: they agree with the tables they derive from, and no metric is omitted."""

from typing import TYPE_CHECKING

import dagster as dg

from radar_assets.events.local_days import local_days
from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.sql import load_model
from radar_assets.lakehouse.table import Table
from radar_assets.metrics.tables import DAILY_BREAKDOWNS, DAILY_METRICS, HOURLY_METRICS
from radar_assets.orchestration.checks import TableCheck, View, checks_of
from radar_assets.windows import DAY_KEY, HOUR_KEY

if TYPE_CHECKING:
    import pyarrow as pa

LAYER = "radar_assets.metrics"
_KEYS = {"hour": HOUR_KEY, "day": DAY_KEY}


def build_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the layer's tables."""
    return [
        checks_of(
            HOURLY_METRICS,
            [
                _completeness(HOURLY_METRICS),
                TableCheck(
                    "hourly_equals_recount_of_events",
                    "Events and page views of each project and hour equal a recount of the events.",
                    _differing_hours,
                    source="events",
                ),
            ],
        ),
        checks_of(
            DAILY_METRICS,
            [
                _completeness(DAILY_METRICS),
                TableCheck(
                    "daily_equals_recount_of_events",
                    "Events, page views, users and sessions of each project and day equal a recount of events and sessions.",
                    lambda view: _compared_days(view, "differing_days"),
                    source="events",
                ),
            ],
        ),
        checks_of(
            DAILY_BREAKDOWNS,
            [
                TableCheck(
                    "breakdowns_add_up_to_events",
                    "The values of each dimension add up to the events or sessions of the project and day.",
                    lambda view: _compared_days(view, "differing_breakdowns"),
                    source="events",
                )
            ],
        ),
    ]


def _completeness(table: Table) -> TableCheck:
    """Fails while any partition of the table has an omission, not only the partitions of the run."""

    def find(view: View) -> "pa.Table":
        import pyarrow as pa

        unit = table.grid
        values: dict[tuple[str, str], list[int]] = {}
        for value, omissions in sorted(view.tables[table.name].omissions.items()):
            for omission in omissions:
                values.setdefault((omission.name, omission.reason), []).append(value)
        form = _KEYS[unit]
        return pa.table(
            {
                "metric": pa.array([name for name, _ in values], pa.string()),
                "reason": pa.array([reason for _, reason in values], pa.string()),
                "partitions": pa.array([len(some) for some in values.values()], pa.int64()),
                "first": pa.array([from_unit(some[0], unit).strftime(form) for some in values.values()], pa.string()),
                "last": pa.array([from_unit(some[-1], unit).strftime(form) for some in values.values()], pa.string()),
            }
        )

    return TableCheck(
        "every_metric_is_computed",
        "No partition omits a metric because its expression failed, took too long or ran out of memory. After a fix in"
        " radar.yaml, the partition is rebuilt. To retry without a change, materialize it.",
        find,
    )


def _differing_hours(view: View) -> "pa.Table":
    return view.query(load_model(LAYER, "differing_hours"), events=[view.window], hourly_metrics=[view.window])


def _compared_days(view: View, model: str) -> "pa.Table":
    inputs = local_days(view.tables, [view.window], view.lakehouse.calendar())
    span = {"start": view.window.start, "end": view.window.end}
    return view.lakehouse.engine.query(load_model(LAYER, model), inputs, span)
