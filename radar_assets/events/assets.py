"""The assets of the event layer, in the order of the flow: from landed lines to events and sessions."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import dagster as dg

from radar_assets.access.projects import list_projects
from radar_assets.events.declarations import Declarations
from radar_assets.events.enrichment import ENRICHMENT_RELATIONS, events_model, rebuild_events
from radar_assets.events.loading import load_raw_events, touched_hours
from radar_assets.events.sessionization import SESSION_RELATIONS, amended_days, rebuild_sessions
from radar_assets.events.tables import EVENTS, LAYER, RAW_EVENTS, REJECTED_EVENTS, SESSIONS
from radar_assets.lakehouse.files import FileRef, NewFile, from_unit, unit_range
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.orchestration.checks import AFTER_METRICS
from radar_assets.orchestration.factory import table_asset, table_options
from radar_assets.orchestration.headline import Metadata
from radar_assets.orchestration.materialization import (
    INCREMENTAL_TAG,
    materialized,
    partition_units,
    partition_window,
    windows_to_build,
)
from radar_assets.store.database import Store
from radar_assets.store.first_day import begin_by
from radar_assets.windows import Grids, Window, day_key, hour_key

PRUNE_TAG = "radar/prune"
"""Tag of runs that drop what is no longer in the landing zone: `true`."""


def build_assets(grids: Grids, lakehouse: Lakehouse, declared: Declarations) -> list[dg.AssetsDefinition]:
    """Assets of the layer, on the given grids."""
    lineage_of_events = lakehouse.lineage(events_model(), **ENRICHMENT_RELATIONS)
    lineage_of_sessions = lakehouse.lineage(load_model(LAYER, "sessions"), **SESSION_RELATIONS)

    @dg.asset(**table_options(RAW_EVENTS, LAYER, grids, {}))
    def raw_events(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult:
        window = partition_window(context)
        is_pruned = context.run.tags.get(PRUNE_TAG) == "true"
        commit, gone = load_raw_events(
            lakehouse,
            [project.id for project in list_projects(store)],
            window,
            hours=[from_unit(unit, "hour") for unit in partition_units(context, RAW_EVENTS)],
            only_missing=INCREMENTAL_TAG in context.run.tags,
            is_pruned=is_pruned,
        )
        if gone:
            context.log.warning(
                f"{gone:,} loaded segments are no longer in the landing zone. "
                + (
                    "Their lines were dropped."
                    if is_pruned
                    else f"Their lines were kept; tag the run {PRUNE_TAG}=true to drop them."
                )
            )
        hours = touched_hours(commit)
        if hours:
            begin_by(store, hours[0].date())
        # A load adds to what the hour has, so the whole hour is counted: by its files, whose rows are in the table's metadata.
        files = lakehouse.snapshot(RAW_EVENTS.name).files(window)
        return materialized(
            context,
            lakehouse,
            commit,
            files=files,
            numbers=_lines(files, window),
            loaded=_judged(commit.files),
            segments_not_in_landing={"kept": 0 if is_pruned else gone, "dropped": gone if is_pruned else 0},
            touched_hours={"count": len(hours), "first": [hour_key(hour) for hour in hours[:100]]},
        )

    @dg.asset(**table_options(EVENTS, LAYER, grids, lineage_of_events), output_required=False)
    def events(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.MaterializeResult]:
        if windows := windows_to_build(context, lakehouse, EVENTS):
            yield materialized(context, lakehouse, rebuild_events(lakehouse, windows, declared))

    @dg.asset(**table_options(SESSIONS, LAYER, grids, lineage_of_sessions))
    def sessions(context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:
        window = partition_window(context)
        commit = rebuild_sessions(lakehouse, window)
        amended = [day_key(day) for day in amended_days(commit, window)]
        return materialized(context, lakehouse, commit, amended_days=amended)

    rejected_events = table_asset(REJECTED_EVENTS, LAYER, grids, lakehouse, op_tags=AFTER_METRICS)
    return [raw_events, rejected_events, events, sessions]  # pyright: ignore[reportReturnType] - the decorator makes them definitions


def _lines(files: Sequence[FileRef], window: Window) -> dict[int, Metadata]:
    """The accepted and rejected lines of each received hour."""
    by_hour = defaultdict[int, list[FileRef]](list)
    for file in files:
        by_hour[file.partition[0] or 0].append(file)
    return {
        unit: {kind: dg.MetadataValue.int(count) for kind, count in _judged(by_hour[unit]).items()}
        for unit in range(*unit_range(RAW_EVENTS, window))
    }


def _judged(files: Sequence[FileRef | NewFile]) -> dict[str, int]:
    """The number of accepted and rejected lines; rejected ones are in files without an event hour."""
    rejected = sum(file.rows for file in files if file.partition[1] is None)
    return {"accepted": sum(file.rows for file in files) - rejected, "rejected": rejected}
