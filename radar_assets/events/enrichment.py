"""Builds `events` from accepted lines: without copies, enriched from URL, referrer and user agent."""

from collections.abc import Mapping, Sequence

from radar_assets.events.interaction import events_model
from radar_assets.events.related_rows import dedupe_days, related_rows
from radar_assets.events.tables import RAW_EVENTS
from radar_assets.lakehouse.commits import Commit
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import Window

LAYER = "radar_assets.events"
ENRICHMENT_RELATIONS = {
    "user_agents": ("user_agent", "browser", "browser_version", "os", "device_type", "is_bot"),
    "referrer_sources": ("source", "category"),
    "related_rows": RAW_EVENTS.column_names,
}
"""Relations that `events.sql` reads besides the accepted lines."""


def rebuild_events(lakehouse: Lakehouse, windows: Sequence[Window]) -> Commit:
    """Rebuild windows of `events` from the accepted lines, without copies."""
    from radar_assets.events.traffic_sources import referrer_sources
    from radar_assets.events.user_agents import describe_user_agents

    def inputs(tables: Mapping[str, Snapshot], windows: Sequence[Window]) -> Inputs:
        raw_events = Files.within(tables["raw_events"], windows, by=1)
        seen = lakehouse.engine.query(
            load_model(LAYER, "user_agents"),
            {"raw_events": raw_events},
            {"start": windows[0].start, "end": windows[-1].end},
        )
        return {
            "raw_events": raw_events,
            "related_rows": related_rows(lakehouse, tables["raw_events"], windows),
            "user_agents": describe_user_agents(seen["user_agent"].to_pylist()),
            "referrer_sources": referrer_sources(),
        }

    model = events_model().with_fragments(dedupe_days=str(dedupe_days(lakehouse)))
    return lakehouse.rebuild(model, windows, inputs)
