"""The assets of the event layer, in the order of the flow: from landed lines to events and sessions."""

from collections.abc import Iterator

import dagster as dg

from radar_assets.access.projects import list_projects
from radar_assets.events.enrichment import ENRICHMENT_RELATIONS, rebuild_events
from radar_assets.events.loading import load_raw_events, touched_hours
from radar_assets.events.sessionization import amended_days, rebuild_sessions
from radar_assets.events.tables import EVENTS, RAW_EVENTS, REJECTED_EVENTS, SESSIONS
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.orchestration.checks import AFTER_METRICS
from radar_assets.orchestration.factory import table_asset, table_options
from radar_assets.orchestration.materialization import (
    INCREMENTAL_TAG,
    materialized,
    partition_window,
    windows_to_build,
)
from radar_assets.store.database import Store
from radar_assets.windows import Grids, day_key, hour_key

LAYER = "radar_assets.events"


def build_assets(grids: Grids) -> list[dg.AssetsDefinition]:
    """Assets of the layer, on the given grids."""

    @dg.asset(**table_options(RAW_EVENTS, LAYER, grids))
    def raw_events(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult:
        commit = load_raw_events(
            lakehouse,
            [project.id for project in list_projects(store)],
            partition_window(context),
            only_missing=INCREMENTAL_TAG in context.run.tags,
        )
        hours = touched_hours(commit)
        return materialized(
            context,
            commit,
            {},
            rejected_lines=sum(file.rows for file in commit.files if file.partition[1] is None),
            touched_hours=[hour_key(hour) for hour in hours[:100]],
            touched_hours_count=len(hours),
        )

    @dg.asset(**table_options(EVENTS, LAYER, grids), output_required=False)
    def events(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.MaterializeResult]:
        if windows := windows_to_build(context, lakehouse, EVENTS):
            commit = rebuild_events(lakehouse, windows)
            lineage = lakehouse.lineage(load_model(LAYER, "events"), **ENRICHMENT_RELATIONS)
            yield materialized(context, commit, lineage)

    @dg.asset(**table_options(SESSIONS, LAYER, grids))
    def sessions(context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:
        window = partition_window(context)
        commit = rebuild_sessions(lakehouse, window)
        amended = [day_key(day) for day in amended_days(commit, window)]
        return materialized(
            context,
            commit,
            lakehouse.lineage(load_model(LAYER, "sessions"), active_visitors=("visitor_hash",)),
            amended_days=amended,
        )

    rejected_events = table_asset(REJECTED_EVENTS, LAYER, grids, op_tags=AFTER_METRICS)
    return [raw_events, rejected_events, events, sessions]  # pyright: ignore[reportReturnType] - the decorator makes them definitions
