"""Builds `sessions` from events, by local day. A rebuild may also change other days.

A visit across midnight, or a visitor who is no longer new, changes sessions of other days too. Such days are amended in the same
commit, and stay marked as built from the same state of `events` as their other rows.
"""

from contextlib import suppress
from datetime import date
from pathlib import Path

from radar_assets.events.local_days import DAY_RELATIONS, dated_events
from radar_assets.events.tables import SESSIONS
from radar_assets.lakehouse.commits import Build, Commit, discard
from radar_assets.lakehouse.files import Origin, from_unit, unit_range
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.lakehouse import Lakehouse, origin_of_build
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import DAY, HOUR, Window

LAYER = "radar_assets.events"
NEW_VISITOR_DAYS = 30
DAYS_AROUND = 4
"""How many days before and after the built ones may hold sessions that start within two days of their hours. Days of other projects
begin up to 26 hours earlier or later, and a change of a time zone moves sessions as far."""
SESSION_RELATIONS = {
    "active_threads": ("thread_hash",),
    "joining_events": (
        *("project_id", "thread", "is_of_device", "visitor_id", "event_id", "event_time", "received_at", "sequence"),
        *("user_id", "path", "is_bot", "is_internal", "revenue", "is_interactive", "order_id", "order_event", "refund"),
        "date",
    ),
    **DAY_RELATIONS,
}
"""Relations that `sessions.sql` reads besides the tables."""


def rebuild_sessions(lakehouse: Lakehouse, window: Window) -> Commit:
    """Rebuild the sessions that start in a window of days, and amend other days that change."""
    import pyarrow as pa

    engine = lakehouse.engine
    near, reach = window.widen(DAYS_AROUND * DAY), window.widen((NEW_VISITOR_DAYS + DAYS_AROUND) * DAY)
    folder = lakehouse.catalog.data_folder(SESSIONS)
    days = range(*unit_range(SESSIONS, window))

    def build(base: Snapshot) -> Build:
        events, calendar = lakehouse.snapshot("events"), lakehouse.calendar()
        origin = origin_of_build(SESSIONS, {"events": events}, calendar)
        hours = calendar.hours_of(window)
        parameters = {"start": hours.start, "end": hours.end}
        present = {"events": Files.of(events, hours.widen(HOUR)), "sessions": Files.of(base, near)}
        around = dated_events(Files.of(events, hours.widen(3 * DAY)), calendar, hours.widen(3 * DAY))
        with (
            engine.staged(load_model(LAYER, "active_threads"), present, parameters) as threads,
            engine.staged(load_model(LAYER, "joining_events"), around, parameters) as joining,
        ):
            inputs: Inputs = {
                "active_threads": threads,
                "joining_events": joining,
                "sessions": Files.of(base, reach),
                **around,
            }
            model = load_model(LAYER, "sessions")
            rebuilt = engine.write(model, inputs, parameters, SESSIONS, folder, origin)
            files = [file for file in rebuilt if file.partition[0] in days]
            beside = [file for file in rebuilt if file.partition[0] not in days]
            try:
                inputs = {
                    "active_threads": threads,
                    "rebuilt_sessions": Files(SESSIONS, [file.path for file in beside]),
                    "sessions": Files.of(base, near),
                }
                states = _built_days(base, reach)
                built = pa.table({"day": pa.array(sorted(states), pa.date32())})
                span = {**parameters, "first_day": window.start.date(), "next_day": window.end.date()}
                found = engine.query(load_model(LAYER, "amended_days"), {**inputs, "built_days": built}, span)
                amended = {Window.of_day(day): states[day] for day in found["day"].to_pylist()}
                for day, state in amended.items():
                    files += engine.write(
                        load_model(LAYER, "amended_sessions"),
                        {**inputs, "sessions": Files.of(base, day)},
                        {
                            "day": day.start.date(),
                            "rebuilt_from": hours.start - DAY,
                            "rebuilt_until": hours.end + 2 * DAY,
                        },
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
        return Build(files, {window: origin, **amended})

    return lakehouse.catalog.commit("sessions", build, reads=[reach])


def amended_days(commit: Commit, window: Window) -> list[date]:
    """The days outside the window that a rebuild changed."""
    return [part.start.date() for part in commit.windows if part.start >= window.end or part.end <= window.start]


def _built_days(sessions: Snapshot, window: Window) -> dict[date, Origin]:
    """The days that were built before, and what each was built from."""
    states: dict[date, Origin] = {}
    for ref in sessions.files(window):
        if ref.partition[0] is not None:
            day = from_unit(ref.partition[0], "day").date()
            states[day] = min(ref.origin, states.get(day, ref.origin))
    return states
