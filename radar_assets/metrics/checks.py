"""Checks of the metric tables: what is derived equals what it is derived from."""

from typing import TYPE_CHECKING

import dagster as dg

from radar_assets.lakehouse.sql import load_model
from radar_assets.metrics.tables import DAILY_BREAKDOWNS, DAILY_METRICS, HOURLY_METRICS
from radar_assets.orchestration.checks import TableCheck, View, checks_of

if TYPE_CHECKING:
    import pyarrow as pa

LAYER = "radar_assets.metrics"


def build_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the layer's tables."""
    return [
        checks_of(HOURLY_METRICS, []),
        checks_of(
            DAILY_METRICS,
            [
                TableCheck(
                    "daily_equals_recount_of_events",
                    "Events, page views and users of each project and day are what the events themselves give.",
                    lambda view: _compared(view, "differing_days", "daily_metrics"),
                    source="events",
                )
            ],
        ),
        checks_of(
            DAILY_BREAKDOWNS,
            [
                TableCheck(
                    "breakdowns_add_up_to_events",
                    "The values of each dimension of events add up to the events of the project and day.",
                    lambda view: _compared(view, "differing_breakdowns", "daily_breakdowns"),
                    source="events",
                )
            ],
        ),
    ]


def _compared(view: View, model: str, table: str) -> "pa.Table":
    return view.query(load_model(LAYER, model), **{name: [view.window] for name in ("events", table)})
