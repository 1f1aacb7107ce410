"""Builds `events` from accepted lines: without copies, enriched from URL, referrer and user agent."""

from collections.abc import Mapping, Sequence

from radar_assets.events.event_names import EventName
from radar_assets.events.orders import events_model
from radar_assets.lakehouse.commits import Commit
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import HOUR, Window

LAYER = "radar_assets.events"
ENRICHMENT_RELATIONS = {
    "user_agents": ("user_agent", "browser", "browser_version", "os", "device_type", "is_bot"),
    "referrer_sources": ("source", "category"),
}
"""Relations that `events.sql` reads besides the accepted lines."""


def rebuild_events(lakehouse: Lakehouse, windows: Sequence[Window], names: Sequence[EventName] = ()) -> Commit:
    """Rebuild windows of `events` from the accepted lines, without copies.

    Args:
        names: the event names of `radar.yaml`.
    """
    from radar_assets.events.traffic_sources import referrer_sources
    from radar_assets.events.user_agents import describe_user_agents

    def inputs(tables: Mapping[str, Snapshot], windows: Sequence[Window]) -> Inputs:
        # A copy may be in an adjacent hour.
        raw_events = Files.within(tables["raw_events"], [window.widen(HOUR) for window in windows], by=1)
        seen = lakehouse.engine.query(
            load_model(LAYER, "user_agents"),
            {"raw_events": raw_events},
            {"start": windows[0].start, "end": windows[-1].end},
        )
        return {
            "raw_events": raw_events,
            "user_agents": describe_user_agents(seen["user_agent"].to_pylist()),
            "referrer_sources": referrer_sources(),
        }

    return lakehouse.rebuild(events_model(names), windows, inputs)
