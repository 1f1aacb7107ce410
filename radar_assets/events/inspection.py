"""What became of an event: the lines as they landed, their verdicts, the row in `events`, and the visit that it fell into."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from radar_assets.events.landing import list_segments, read_lines
from radar_assets.events.tables import LAYER
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel, load_model
from radar_assets.windows import Window

VISIT = "visit_"
"""Prefix of the columns of the visit in `sql/inspected_events.sql`."""


@dataclass(frozen=True)
class InspectedLine:
    """A landed line of an event.

    Attributes:
        received_hour, segment, line_number: the line, as in `raw_events`.
        line: its bytes as they landed; None if the segment of an accepted line is no longer in the landing zone.
        verdict: `event`, `copy` or `rejected`.
        reason, detail: why it is rejected.
        warnings: what was unusable and was dropped or cut.
    """

    received_hour: datetime
    segment: str
    line_number: int
    line: bytes | None
    verdict: str
    reason: str | None
    detail: str | None
    warnings: str | None
    received_at: datetime | None


@dataclass(frozen=True)
class InspectedEvent:
    """An event and its visit.

    Attributes:
        event: the row of `events`.
        visit: columns of the row of `sessions`; None if it belongs to no visit.
        why: why it belongs to that visit, or to none.
    """

    event: dict[str, Any]
    visit: dict[str, Any] | None
    why: str


def inspect_lines(lakehouse: Lakehouse, event_id: str, project: str | None = None) -> list[InspectedLine]:
    """The landed lines with an event id, in the order of their arrival. Reads the ids of all lines."""
    rows = _rows(lakehouse, load_model(LAYER, "inspected_lines"), {"event_id": event_id, "project_id": project})
    return [
        InspectedLine(
            received_hour=row["received_hour"],
            segment=row["segment"],
            line_number=row["line_number"],
            line=row["line"] or _landed_line(lakehouse, row["received_hour"], row["segment"], row["line_number"]),
            verdict="rejected" if row["reason"] else "event" if row["is_event"] else "copy",
            reason=row["reason"],
            detail=row["detail"],
            warnings=row["warnings"],
            received_at=row["received_at"],
        )
        for row in rows
    ]


def inspect_events(
    lakehouse: Lakehouse,
    window: Window,
    *,
    event_id: str | None = None,
    visitor: str | None = None,
    project: str | None = None,
) -> Iterator[InspectedEvent]:
    """The events with an id, or those of a visitor in a window, in order.

    Args:
        event_id: different projects may use the same one. The window doesn't matter then.
        visitor: an anonymous id or a user id.
    """
    parameters = {
        "event_id": event_id,
        "visitor": visitor,
        "project_id": project,
        "start": window.start,
        "end": window.end,
    }
    for row in _rows(lakehouse, load_model(LAYER, "inspected_events"), parameters):
        event = {name: value for name, value in row.items() if not name.startswith(VISIT)}
        visit = {name.removeprefix(VISIT): value for name, value in row.items() if name.startswith(VISIT)}
        found = visit if visit["id"] else None
        yield InspectedEvent(event, found, _why(event, found))


def _why(event: dict[str, Any], visit: dict[str, Any] | None) -> str:
    """Why an event belongs to a visit, by the rules of `sql/sessions.sql`."""
    if visit is None:
        if event["is_from_server"]:
            return "a server sent it, and its person had no visit in the 30 minutes before"
        if event["is_interactive"] is False:
            return "passive events start no visit, and there was none in the 30 minutes before"
        return "the visits of its day are not built yet"
    if event["session_id"] is not None:
        return f"its sender gave the session id {event['session_id']}"
    if event["event_time"] == visit["started_at"]:
        return "it starts the visit: the visitor did nothing in the 30 minutes before"
    if event["is_from_server"]:
        return "a server sent it during a visit of this person, or within 30 minutes after it"
    return "less than 30 minutes lie between it and the event before it"


def _rows(lakehouse: Lakehouse, model: SqlModel, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    tables = ("raw_events", "events", "sessions")
    inputs = {name: Files.of(lakehouse.snapshot(name)) for name in tables if name in model.sql}
    return lakehouse.engine.query(model, inputs, parameters).to_pylist()


def _landed_line(lakehouse: Lakehouse, hour: datetime, name: str, number: int) -> bytes | None:
    """A line of the landing zone; None if its segment is no longer there."""
    for segment in list_segments(lakehouse.settings.landing_zone, hour):
        if segment.name == name:
            for batch in read_lines([segment]):
                for row in batch.to_pylist():
                    if row["line_number"] == number:
                        return row["line"] if row["text"] is None else row["text"].encode()
    return None
