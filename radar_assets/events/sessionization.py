"""Builds `sessions` from events. A rebuild may also change days outside its window.

A visit across midnight, or a visitor who is no longer new, changes sessions of other days too. Such days are amended in the same
commit, and stay marked as built from the same state of `events` as their other rows.
"""

from contextlib import suppress
from datetime import date
from pathlib import Path

from radar_assets.events.tables import SESSIONS
from radar_assets.lakehouse.commits import Build, Commit, discard
from radar_assets.lakehouse.files import from_unit, unit_range
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import DAY, HOUR, Window

LAYER = "radar_assets.events"
NEW_VISITOR_DAYS = 30
SESSION_RELATIONS = {
    "active_threads": ("thread_hash",),
    "joining_events": (
        *("project_id", "thread", "is_of_device", "visitor_id", "event_id", "event_time", "received_at", "sequence"),
        *("user_id", "path", "is_bot", "is_internal", "revenue", "is_interactive", "order_id", "order_event", "refund"),
    ),
}
"""Relations that `sessions.sql` reads besides the tables."""


def rebuild_sessions(lakehouse: Lakehouse, window: Window) -> Commit:
    """Rebuild the sessions that start in a window of days, and amend other days that change."""
    import pyarrow as pa

    engine = lakehouse.engine
    reach = window.widen((NEW_VISITOR_DAYS + 1) * DAY, (NEW_VISITOR_DAYS + 2) * DAY)
    parameters = {"start": window.start, "end": window.end}
    folder = lakehouse.catalog.data_folder(SESSIONS)
    days = range(*unit_range(SESSIONS, window))

    def build(base: Snapshot) -> Build:
        events = lakehouse.snapshot("events")
        present = {"events": Files.of(events, window.widen(HOUR)), "sessions": Files.of(base, window.widen(DAY))}
        around = Files.of(events, window.widen(3 * DAY))
        with (
            engine.staged(load_model(LAYER, "active_threads"), present, parameters) as threads,
            engine.staged(load_model(LAYER, "joining_events"), {"events": around}, parameters) as joining,
        ):
            inputs: Inputs = {
                "active_threads": threads,
                "joining_events": joining,
                "events": around,
                "sessions": Files.of(base, reach),
            }
            model = load_model(LAYER, "sessions")
            rebuilt = engine.write(model, inputs, parameters, SESSIONS, folder, events.sequence_number)
            files = [file for file in rebuilt if file.partition[0] in days]
            beside = [file for file in rebuilt if file.partition[0] not in days]
            try:
                inputs = {
                    "active_threads": threads,
                    "rebuilt_sessions": Files(SESSIONS, [file.path for file in beside]),
                    "sessions": Files.of(base, window.widen(DAY, 2 * DAY)),
                }
                states = _built_days(base, reach)
                built = pa.table({"day": pa.array(sorted(states), pa.date32())})
                found = engine.query(load_model(LAYER, "amended_days"), {**inputs, "built_days": built}, parameters)
                amended = {Window.of_day(day): states[day] for day in found["day"].to_pylist()}
                for day, state in amended.items():
                    files += engine.write(
                        load_model(LAYER, "amended_sessions"),
                        {**inputs, "sessions": Files.of(base, day)},
                        {"start": day.start, "end": day.end, "rebuilt_until": window.end + 2 * DAY},
                        SESSIONS,
                        folder,
                        state,
                    )
            except BaseException:
                discard(files)
                raise
            finally:
                discard(beside)
                for emptied in {Path(file.path).parent for file in beside}:
                    with suppress(OSError):  # the parent folder is not empty if it also holds days of the window
                        emptied.rmdir()
                        emptied.parent.rmdir()
        return Build(files, {window: events.sequence_number, **amended})

    return lakehouse.catalog.commit("sessions", build, reads=[reach])


def amended_days(commit: Commit, window: Window) -> list[date]:
    """The days outside the window that a rebuild changed."""
    return [part.start.date() for part in commit.windows if part.start >= window.end or part.end <= window.start]


def _built_days(sessions: Snapshot, window: Window) -> dict[date, int]:
    """The days that were built before, and the sequence number of `events` that each was built from."""
    states: dict[date, int] = {}
    for ref in sessions.files(window):
        if ref.partition[0] is not None:
            day = from_unit(ref.partition[0], "day").date()
            states[day] = min(ref.built_from, states.get(day, ref.built_from))
    return states
