"""Builds `events` from accepted lines: without copies, enriched from URL, referrer and user agent."""

from collections.abc import Mapping, Sequence

from radar_assets.calendar import Calendar
from radar_assets.events.declarations import NOTHING_DECLARED, Declarations
from radar_assets.events.interaction import interaction_fragments
from radar_assets.events.internal_traffic import internal_addresses, internal_condition
from radar_assets.events.orders import order_fragments
from radar_assets.events.related_rows import CONTENT, dedupe_days, related_rows
from radar_assets.events.settings import DEDUPE_DAYS
from radar_assets.events.single_events import ESCAPES, READABLE_ESCAPE, SESSION_IN_PATH
from radar_assets.events.sites import WILDCARD_SUFFIXES
from radar_assets.events.tables import RAW_EVENTS
from radar_assets.lakehouse.commits import Commit
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel, literal, load_model
from radar_assets.windows import Window

LAYER = "radar_assets.events"
ENRICHMENT_RELATIONS = {
    "user_agents": ("user_agent", "browser", "browser_version", "os", "device_type", "is_bot"),
    "referrer_sources": ("source", "category"),
    "related_rows": RAW_EVENTS.column_names,
    "public_suffixes": ("domain", "rules"),
    "internal_addresses": ("name", "address"),
}
"""Relations that `events.sql` reads besides the accepted lines; the last one only if a project declares internal addresses."""

_BLANKS = "concat(' ', chr(9), chr(10), chr(13), chr(160))"


def events_model(declared: Declarations = NOTHING_DECLARED, dedupe_days: int = DEDUPE_DAYS) -> SqlModel:
    """The statement of `events`, with the rules that are declared in code and in `radar.yaml`."""
    hash_routed = ", ".join(map(literal, sorted(declared.hash_routed)))
    return load_model(LAYER, "events").with_fragments(
        is_hash_routed=f"accepted.project_id in ({hash_routed})" if hash_routed else "false",
        is_internal=internal_condition(declared.internal_traffic),
        session_in_path=literal(SESSION_IN_PATH),
        escapes_and_texts=literal(f"{ESCAPES}|[^%]+|%"),
        readable_escape=literal(READABLE_ESCAPE),
        wildcard_suffixes=f"({', '.join(map(literal, WILDCARD_SUFFIXES))})",
        blanks=_BLANKS,
        dedupe_days=str(dedupe_days),
        content=CONTENT,
        **interaction_fragments(),
        **order_fragments(declared.event_names),
    )


def rebuild_events(
    lakehouse: Lakehouse, windows: Sequence[Window], declared: Declarations = NOTHING_DECLARED
) -> Commit:
    """Rebuild windows of `events` from the accepted lines, without copies.

    Args:
        declared: what the team declares about its pages and its own traffic.
    """
    from radar_assets.events.sites import public_suffixes
    from radar_assets.events.traffic_sources import referrer_sources
    from radar_assets.events.user_agents import describe_user_agents

    by_address = [rule for rule in declared.internal_traffic if rule.addresses]

    def inputs(tables: Mapping[str, Snapshot], windows: Sequence[Window], _calendar: Calendar) -> Inputs:
        raw_events = Files.within(tables["raw_events"], windows, by=1)

        def distinct(model: str) -> list[str | None]:
            span = {"start": windows[0].start, "end": windows[-1].end}
            (seen,) = lakehouse.engine.query(load_model(LAYER, model), {"raw_events": raw_events}, span).columns
            return seen.to_pylist()

        addresses = {"internal_addresses": internal_addresses(by_address, distinct("addresses"))} if by_address else {}
        return {
            "raw_events": raw_events,
            "related_rows": related_rows(lakehouse, tables["raw_events"], windows),
            "user_agents": describe_user_agents(distinct("user_agents")),
            "referrer_sources": referrer_sources(),
            "public_suffixes": public_suffixes(),
            **addresses,
        }

    return lakehouse.rebuild(events_model(declared, dedupe_days(lakehouse)), windows, inputs)
