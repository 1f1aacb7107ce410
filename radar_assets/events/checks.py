"""Checks of the event tables: nothing vanishes, nothing counts twice, and what arrives is fresh and sound."""

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from radar_assets.lakehouse.checks import TableCheck, checks_of
from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.lakehouse.tables import EVENTS, RAW_EVENTS, REJECTED_EVENTS, SESSIONS
from radar_assets.partitions import DAY, HOUR, Window, utc_now

if TYPE_CHECKING:
    import pyarrow as pa

    from radar_assets.lakehouse.engines.duckdb import Files

LAYER = "radar_assets.events"
MOST_LATE = 0.2
"""Share of lines that may arrive more than an hour after they happened; mobile SDKs rarely reach a tenth."""
MOST_REJECTED = 0.05
"""Share of lines that may be rejected; more than a few in a hundred is a broken sender."""
STALE_AFTER = timedelta(hours=6)
"""How long the landing zone may stay silent."""


def build_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the layer's tables."""
    warn = dg.AssetCheckSeverity.WARN
    return [
        checks_of(
            RAW_EVENTS,
            [
                TableCheck(
                    "landing_is_fresh",
                    f"A line was received within the last {STALE_AFTER}.",
                    _silence,
                    warn,
                ),
                TableCheck(
                    "share_of_late_lines_is_within_bounds",
                    f"At most {MOST_LATE:.0%} of the lines arrived more than an hour after they happened.",
                    lambda lakehouse, window: _share(lakehouse, window, "late", MOST_LATE),
                    warn,
                ),
                TableCheck(
                    "share_of_rejected_lines_is_within_bounds",
                    f"At most {MOST_REJECTED:.0%} of the lines are rejected.",
                    lambda lakehouse, window: _share(lakehouse, window, "rejected", MOST_REJECTED),
                    warn,
                ),
            ],
        ),
        checks_of(
            REJECTED_EVENTS,
            [
                TableCheck(
                    "every_line_is_accepted_or_rejected",
                    "The lines of each received hour are those accepted and those rejected.",
                    _unaccounted_lines,
                )
            ],
        ),
        checks_of(
            EVENTS,
            [
                TableCheck(
                    "every_accepted_line_is_an_event_or_a_copy",
                    "The accepted lines of each event hour are its events and the copies of events.",
                    _unaccounted_events,
                ),
                TableCheck(
                    "event_ids_are_unique",
                    "No id occurs twice in a project within an hour to either side.",
                    _repeated_events,
                ),
            ],
        ),
        checks_of(
            SESSIONS,
            [
                TableCheck(
                    "sessions_account_for_every_event",
                    "The events of each project and day are those of its sessions.",
                    _events_outside_sessions,
                )
            ],
        ),
    ]


def _silence(lakehouse: Lakehouse, _: Window) -> "pa.Table":
    import pyarrow as pa

    received = lakehouse.snapshot("raw_events").changes()
    last = from_unit(max(received), "hour") + HOUR if received else None
    late = last is None or utc_now() - last > STALE_AFTER
    return pa.table({"last_received_hour_ended": pa.array([last] if late else [], pa.timestamp("us"))})


def _share(lakehouse: Lakehouse, window: Window, column: str, bound: float) -> "pa.Table":
    counts = lakehouse.engine.query(
        load_model(LAYER, "shares"),
        {"raw_events": _files(lakehouse, "raw_events", window)},
        {"start": window.start, "end": window.end},
    )
    (row,) = counts.to_pylist()
    return counts if row[column] > bound * row["lines"] else counts.slice(1)


def _unaccounted_lines(lakehouse: Lakehouse, window: Window) -> "pa.Table":
    return lakehouse.engine.query(
        load_model(LAYER, "unaccounted_lines"),
        {name: _files(lakehouse, name, window) for name in ("raw_events", "rejected_events")},
        {"start": window.start, "end": window.end},
    )


def _unaccounted_events(lakehouse: Lakehouse, window: Window) -> "pa.Table":
    from radar_assets.lakehouse.engines.duckdb import Files

    return lakehouse.engine.query(
        load_model(LAYER, "unaccounted_events"),
        {
            "raw_events": Files.of(lakehouse.snapshot("raw_events"), None, window.widen(HOUR)),
            "events": _files(lakehouse, "events", window),
        },
        {"start": window.start, "end": window.end},
    )


def _repeated_events(lakehouse: Lakehouse, window: Window) -> "pa.Table":
    return lakehouse.engine.query(
        load_model(LAYER, "repeated_events"),
        {"events": _files(lakehouse, "events", window.widen(HOUR))},
        {"start": window.start, "end": window.end},
    )


def _events_outside_sessions(lakehouse: Lakehouse, window: Window) -> "pa.Table":
    day_before = Window(window.start - DAY, window.start)
    if not lakehouse.snapshot("sessions").files(day_before) and lakehouse.snapshot("events").paths(day_before):
        # Visits that reach into the first day can't be told while the day before has not been built.
        window = Window(min(window.start + DAY, window.end), window.end)
    return lakehouse.engine.query(
        load_model(LAYER, "events_outside_sessions"),
        {"events": _files(lakehouse, "events", window), "sessions": _files(lakehouse, "sessions", window.widen(DAY))},
        {"start": window.start, "end": window.end},
    )


def _files(lakehouse: Lakehouse, name: str, window: Window) -> "Files":
    from radar_assets.lakehouse.engines.duckdb import Files

    return Files.of(lakehouse.snapshot(name), window)
