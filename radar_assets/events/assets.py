"""The assets of the event layer, in the order of the flow: from landed lines to events and sessions."""

from collections.abc import Iterator

import dagster as dg

from radar_assets.events.enrichment import ENRICHMENT_RELATIONS, rebuild_events
from radar_assets.events.loading import load_raw_events, touched_hours
from radar_assets.events.sessionization import amended_days, rebuild_sessions
from radar_assets.lakehouse.checks import AFTER_METRICS
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.materialization import (
    INCREMENTAL_TAG,
    materialized,
    partition_window,
    table_metadata,
    windows_to_build,
)
from radar_assets.lakehouse.sql import load_model
from radar_assets.lakehouse.tables import EVENTS, RAW_EVENTS, REJECTED_EVENTS, SESSIONS
from radar_assets.partitions import Grids, day_key, hour_key
from radar_assets.store.database import Store

LAYER = "radar_assets.events"
GROUP = "events"
OWNERS = ["team:radar"]


def build_assets(grids: Grids) -> list[dg.AssetsDefinition]:
    """The assets of the layer on the given grids."""
    hourly = {
        "group_name": GROUP,
        "owners": OWNERS,
        "partitions_def": grids.hourly,
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "kinds": {"duckdb", "iceberg"},
    }
    daily = {**hourly, "partitions_def": grids.daily}

    @dg.asset(**hourly, description=RAW_EVENTS.description, metadata=table_metadata(RAW_EVENTS))
    def raw_events(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult:
        commit = load_raw_events(
            lakehouse,
            [project.id for project in store.projects()],
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

    @dg.asset(
        **hourly,
        deps=[raw_events],
        output_required=False,
        op_tags=AFTER_METRICS,
        description=REJECTED_EVENTS.description,
        metadata=table_metadata(REJECTED_EVENTS),
    )
    def rejected_events(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.MaterializeResult]:
        from radar_assets.lakehouse.engines.duckdb import Files

        model = load_model(LAYER, "rejected_events")
        if windows := windows_to_build(context, lakehouse, "raw_events", "rejected_events"):
            commit = lakehouse.rebuild(
                model,
                windows,
                ["raw_events"],
                lambda tables, windows: {"raw_events": Files.within(tables["raw_events"], windows)},
            )
            yield materialized(context, commit, lakehouse.lineage(model))

    @dg.asset(
        **hourly,
        deps=[raw_events],
        output_required=False,
        description=EVENTS.description,
        metadata=table_metadata(EVENTS),
    )
    def events(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.MaterializeResult]:
        if windows := windows_to_build(context, lakehouse, "raw_events", "events", by=1):
            commit = rebuild_events(lakehouse, windows)
            lineage = lakehouse.lineage(load_model(LAYER, "events"), **ENRICHMENT_RELATIONS)
            yield materialized(context, commit, lineage)

    @dg.asset(**daily, deps=[events], description=SESSIONS.description, metadata=table_metadata(SESSIONS))
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

    return [raw_events, rejected_events, events, sessions]  # pyright: ignore[reportReturnType] - the decorator makes them definitions
