"""Sessions of given events, built by the real tables, and worked out again in plain Python by the definitions in the docs."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from radar_assets.events.sessionization import rebuild_sessions
from radar_assets.events.tables import EVENTS
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.windows import DAY, Window
from radar_assets_tests.metrics.relations import relation

Row = dict[str, Any]

MONDAY = datetime(2026, 3, 2)
IDLE = timedelta(minutes=30)
LONG_IDLE = timedelta(hours=12)
_numbers = count()


def hit(at: datetime, anonymous_id: str | None = "device", user_id: str | None = None, **columns: Any) -> Row:
    """A row of `events`: a page view, unless said otherwise."""
    number = next(_numbers)
    return {
        "event_id": f"e{number}",
        "project_id": "shop",
        "type": "page",
        "event": "page_view",
        "anonymous_id": anonymous_id,
        "user_id": user_id,
        "visitor_id": anonymous_id or user_id,
        "session_id": None,
        "event_time": at,
        "received_at": at,
        "sequence": None,
        "path": f"/{number}",
        "channel": "Direct",
        "is_bot": False,
        "is_internal": False,
        "is_interactive": True,
        "is_from_server": False,
        "received_hour": at.replace(minute=0, second=0, microsecond=0),
        "segment": "a",
        "line_number": number,
        "protocol": "test",
        **columns,
    }


def put(lakehouse: Lakehouse, rows: Sequence[Row], day: date) -> None:
    """Replace the events of a day."""
    window = Window.of_day(day)
    of_day = [row for row in rows if window.start <= row["event_time"] < window.end]
    lakehouse.rebuild(
        SqlModel("events", "select * from given where event_time >= $start and event_time < $end"),
        [window],
        lambda *_: {"given": relation(EVENTS, of_day)},
    )


def build(lakehouse: Lakehouse, rows: Sequence[Row], days: Iterable[date]) -> None:
    """Replace the events of days, and rebuild the sessions of these days, one after the other."""
    for day in days:
        put(lakehouse, rows, day)
        rebuild_sessions(lakehouse, Window.of_day(day))


def sessions(lakehouse: Lakehouse) -> list[Row]:
    """All sessions, by start."""
    model = SqlModel("query", "select * from sessions order by started_at, session_id")
    return lakehouse.engine.query(model, {"sessions": Files.of(lakehouse.snapshot("sessions"))}).to_pylist()


def summary(session: Row) -> tuple[Any, ...]:
    """What the functions below work out."""
    others = tuple(json.loads(session["other_user_ids"] or "[]"))
    names = ("project_id", "visitor_id", "user_id", "sender_session_id", "started_at", "ended_at", "events")
    names += ("events_after_midnight", "page_views", "interactions", "is_bounce", "is_new_visitor", "is_bot")
    names += ("entry_page", "exit_page", "revenue")
    return (*(session[name] for name in names), others)


def expected(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """The sessions of events, in plain Python."""
    ordered = sorted(rows, key=_order)
    threads = defaultdict[Any, list[Row]](list)
    for row in ordered:
        thread = _joined(row, ordered) if row["is_from_server"] else _thread(row)
        if thread is not None:
            threads[thread].append(row)
    for of in threads.values():
        of.sort(key=lambda row: (row["event_time"], not _is_start(row), *_order(row)))
    visits = [visit for thread, of in threads.items() for visit in _visits(of, thread[2])]
    days = [(visit[0]["event_time"].date(), *_people(visit), visit[0]["project_id"]) for visit in visits]
    return sorted((_told(visit, days) for visit in visits), key=repr)


def _order(row: Row) -> tuple[Any, ...]:
    sequence = -1 if row["sequence"] is None else row["sequence"]
    return row["event_time"], row["received_at"], sequence, row["event_id"]


def _thread(row: Row) -> tuple[Any, ...]:
    is_of_device = row["session_id"] is None
    return row["project_id"], row["session_id"] or row["visitor_id"], is_of_device, row["is_bot"], row["is_internal"]


def _joined(row: Row, rows: Sequence[Row]) -> tuple[Any, ...] | None:
    """The thread that an event from a server joins, if any."""
    own = {("a", row["anonymous_id"]), ("u", row["user_id"])} - {("a", None), ("u", None)}
    days = {row["event_time"].date(), (row["event_time"] - IDLE).date()}
    known = set(own)
    for other in rows:
        ids = _ids(other)
        if other["project_id"] == row["project_id"] and other["event_time"].date() in days and ids & own:
            known |= ids
    active = [
        other
        for other in rows
        if other["project_id"] == row["project_id"]
        and not other["is_from_server"]
        and timedelta(0) <= row["event_time"] - other["event_time"] <= IDLE
        and (other["is_bot"], other["is_internal"]) == (row["is_bot"], row["is_internal"])
        and _ids(other) & known
        and (_is_device(row, other) or None in (row["user_id"], other["user_id"]) or row["user_id"] == other["user_id"])
    ]
    return _thread(max(active, key=lambda other: (_is_device(row, other), _order(other)))) if active else None


def _ids(row: Row) -> set[tuple[str, str]]:
    ids = {("a", row["anonymous_id"]), ("u", row["user_id"]), ("s", row["session_id"])}
    return {(kind, value) for kind, value in ids if value is not None}


def _is_device(row: Row, other: Row) -> bool:
    return row["anonymous_id"] is not None and row["anonymous_id"] == other["anonymous_id"]


def _visits(rows: Sequence[Row], is_of_device: bool) -> list[list[Row]]:
    visits: list[list[Row]] = []
    began, previous, cut, is_open = datetime.min, datetime.min, datetime.min, False
    for row in rows:
        at = row["event_time"]
        if at - previous > (IDLE if is_of_device else LONG_IDLE):
            began = at
        six = datetime(2000, 1, 1, 6)
        half_day = at - (at - six) % LONG_IDLE
        part = half_day if half_day - began >= LONG_IDLE else began
        if part != cut:
            cut, is_open = part, False
        if not is_open and _is_start(row):
            visits.append([])
            is_open = True
        if is_open:
            visits[-1].append(row)
        previous = at
    return visits


def _is_start(row: Row) -> bool:
    return row["is_interactive"] and not row["is_from_server"]


def _people(visit: Sequence[Row]) -> tuple[str, str | None, frozenset[str]]:
    """Device, first user and all users; further users count if a browser or app sent them."""
    first = next((row["user_id"] for row in visit if row["user_id"]), None)
    sent = {row["user_id"] for row in visit if row["user_id"] and not row["is_from_server"]}
    return visit[0]["visitor_id"], first, frozenset(sent | ({first} if first else set()))


def _told(visit: Sequence[Row], days: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    start, end = visit[0]["event_time"], max(row["event_time"] for row in visit)
    device, user, users = _people(visit)
    views = [row for row in visit if row["event"] == "page_view"]
    earlier = [
        (its_device, its_user, its_users)
        for day, its_device, its_user, its_users, project in days
        if project == visit[0]["project_id"] and timedelta(0) < start.date() - day <= 30 * DAY
    ]
    is_known = any(
        its_device == device if user is None else user in its_users or (its_device == device and its_user is None)
        for its_device, its_user, its_users in earlier
    )
    interactions = sum(row["is_interactive"] for row in visit)
    return (
        visit[0]["project_id"],
        device,
        user,
        visit[0]["session_id"],
        start,
        end,
        len(visit),
        sum(row["event_time"].date() > start.date() for row in visit),
        len(views),
        interactions,
        interactions == len(views) == 1,
        not is_known,
        visit[0]["is_bot"],
        views[0]["path"] if views else None,
        views[-1]["path"] if views else None,
        sum((row.get("revenue") or Decimal(0) for row in visit), Decimal(0)),
        tuple(sorted(users - {user})),
    )
