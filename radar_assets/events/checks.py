"""Checks of the event tables: no line is lost or counted twice, and lines arrive on time and valid."""

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from radar_assets.events.local_days import local_days
from radar_assets.events.related_rows import dedupe_days, related_keys, related_rows
from radar_assets.events.tables import EVENTS, RAW_EVENTS, REJECTED_EVENTS, SESSIONS
from radar_assets.lakehouse.files import from_unit, to_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.sql import load_model
from radar_assets.lakehouse.staleness import stale
from radar_assets.orchestration.checks import TableCheck, View, checks_of
from radar_assets.windows import DAY, HOUR, Window, utc_now

if TYPE_CHECKING:
    import pyarrow as pa

LAYER = "radar_assets.events"
MAX_LATE = 0.2
"""Maximum share of lines that arrive more than an hour late; mobile SDKs rarely reach 10%."""
MAX_REJECTED = 0.05
"""Maximum share of rejected lines of a project; more than a few percent means that a sender is broken."""
MAX_ODD = 0.05
"""Maximum share of a project's lines with the same warning."""
STALE_AFTER = timedelta(hours=6)
"""How long the landing zone may receive nothing."""


def build_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the layer's tables."""
    warn = dg.AssetCheckSeverity.WARN
    return [
        checks_of(
            RAW_EVENTS,
            [
                TableCheck(
                    "landing_is_fresh",
                    f"A line was received within the last {STALE_AFTER // HOUR} hours.",
                    _silence,
                    warn,
                ),
                TableCheck(
                    "share_of_late_lines_is_within_bounds",
                    f"At most {MAX_LATE:.0%} of the lines arrived more than an hour after they happened.",
                    _late,
                    warn,
                ),
                TableCheck(
                    "share_of_rejected_lines_is_within_bounds",
                    f"At most {MAX_REJECTED:.0%} of the lines of each project are rejected.",
                    _rejected,
                    warn,
                ),
                TableCheck(
                    "share_of_odd_fields_is_within_bounds",
                    f"At most {MAX_ODD:.0%} of the lines of each project have the same warning; empty fields don't count.",
                    _odd_fields,
                    warn,
                ),
            ],
        ),
        checks_of(
            REJECTED_EVENTS,
            [
                TableCheck(
                    "every_line_is_accepted_or_rejected",
                    "In each received hour, every line is either accepted or rejected.",
                    _unaccounted_lines,
                    source="raw_events",
                )
            ],
        ),
        checks_of(
            EVENTS,
            [
                TableCheck(
                    "every_accepted_line_is_an_event_or_a_copy",
                    "In each event hour, every accepted line is an event or a copy of one.",
                    _unaccounted_events,
                    source="raw_events",
                ),
                TableCheck(
                    "event_ids_are_unique",
                    "No event id occurs twice in a project within an hour, or in events received within RADAR_DEDUPE_DAYS.",
                    _repeated_events,
                    source="raw_events",
                ),
                TableCheck(
                    "copies_that_differ",
                    "No line was left out as a copy although it has another visitor, event or page than the event with its id.",
                    _copies_that_differ,
                    warn,
                    source="raw_events",
                ),
            ],
        ),
        checks_of(
            SESSIONS,
            [
                TableCheck(
                    "sessions_account_for_every_event",
                    "For each project and day, every event is in a session, or is automatic or from a server and outside all.",
                    _events_outside_sessions,
                    source="events",
                    spills_over=True,
                )
            ],
        ),
    ]


def _silence(view: View) -> "pa.Table":
    import pyarrow as pa

    # An hour that lost its lines has a file too.
    received = [ref.partition[0] for ref in view.tables["raw_events"].files() if ref.rows and ref.partition[0]]
    last = from_unit(max(received), "hour") + HOUR if received else None
    late = last is None or utc_now() - last > STALE_AFTER
    return pa.table({"last_received_hour_ended": pa.array([last] if late else [], pa.timestamp("us"))})


def _late(view: View) -> "pa.Table":
    import pyarrow as pa

    # All projects together, since a project that imports its history has only late lines.
    counts = view.query(load_model(LAYER, "shares"), raw_events=[view.window]).to_pylist()
    late = sum(row["late"] for row in counts)
    lines = sum(row["lines"] for row in counts if row["project_id"] is not None)
    is_over = late > MAX_LATE * lines
    return pa.table({"lines": pa.array([lines] * is_over, pa.int64()), "late": pa.array([late] * is_over, pa.int64())})


def _rejected(view: View) -> "pa.Table":
    counts = view.query(load_model(LAYER, "shares"), raw_events=[view.window])
    return _over(counts.drop_columns("late"), "rejected", MAX_REJECTED)


def _odd_fields(view: View) -> "pa.Table":
    return _over(view.query(load_model(LAYER, "odd_fields"), raw_events=[view.window]), "odd", MAX_ODD)


def _over(counts: "pa.Table", column: str, bound: float) -> "pa.Table":
    """The rows in which a column has more than a share of the lines."""
    import pyarrow as pa

    return counts.filter(pa.array([row[column] > bound * row["lines"] for row in counts.to_pylist()], pa.bool_()))


def _unaccounted_lines(view: View) -> "pa.Table":
    model = load_model(LAYER, "unaccounted_lines")
    return view.query(model, raw_events=[view.window], rejected_events=[view.window])


def _unaccounted_events(view: View) -> "pa.Table":
    return _query_with_related_rows(view, "unaccounted_events")


def _copies_that_differ(view: View) -> "pa.Table":
    return _query_with_related_rows(view, "copies_that_differ")


def _query_with_related_rows(view: View, model: str) -> "pa.Table":
    """Run a model over the events of the window, their lines, and the related lines of other hours."""
    raw_events = view.tables["raw_events"]
    return view.lakehouse.engine.query(
        load_model(LAYER, model).with_fragments(dedupe_days=str(dedupe_days(view.lakehouse))),
        {
            "raw_events": Files.of(raw_events, None, view.window),
            "related_rows": related_rows(view.lakehouse, raw_events, [view.window]),
            "events": Files.of(view.tables["events"], view.window),
        },
        {"start": view.window.start, "end": view.window.end},
    )


def _repeated_events(view: View) -> "pa.Table":
    raw_events, events = view.tables["raw_events"], view.tables["events"]
    keys = related_keys(view.lakehouse, raw_events, [view.window])
    hours = set(keys.filter(keys["event_key"].is_null())["event_hour"].to_pylist())
    # Other hours may be behind, which is the business of their own runs.
    calendar = view.lakehouse.calendar()
    behind = stale(raw_events, events, calendar, within=Window(min(hours), max(hours) + HOUR)) if hours else {}
    others = [Window.of_hour(hour) for hour in hours if to_unit(hour, "hour") not in behind]
    return view.lakehouse.engine.query(
        load_model(LAYER, "repeated_events"),
        {"events": Files.within(events, [view.window.widen(HOUR), *others])},
        {"start": view.window.start, "end": view.window.end, "dedupe_days": dedupe_days(view.lakehouse)},
    )


def _events_outside_sessions(view: View) -> "pa.Table":
    calendar = view.lakehouse.calendar()
    inputs = {
        **local_days({"events": view.tables["events"]}, [view.window], calendar),
        "sessions": Files.of(view.tables["sessions"], view.window.widen(DAY)),
        "utc_offsets": calendar.relation(calendar.hours_of(view.window).widen(2 * DAY)),
    }
    span = {"start": view.window.start, "end": view.window.end}
    return view.lakehouse.engine.query(load_model(LAYER, "events_outside_sessions"), inputs, span)
