"""`radar inspect`: what became of an event or of what a visitor did, from the landed line to the visit."""

import json
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from radar_assets.cli.listing import Column, Format, print_list, readable
from radar_assets.cli.terminal import out, printable
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from radar_assets.events.inspection import InspectedEvent, InspectedLine

EVENT_COLUMNS = (
    *("event", "type", "event_time", "received_at", "user_id", "anonymous_id", "session_id", "path", "referrer_domain"),
    *("channel", "browser", "os", "device_type", "country", "is_bot", "is_internal", "is_interactive"),
    *("is_from_server", "order_id", "order_event", "revenue", "refund", "warnings"),
)
"""The columns of `events` that are shown, if they have a value. `radar sql` shows all."""


def inspect(
    event_id: str | None = None,
    /,
    *,
    visitor: str | None = None,
    day: date | None = None,
    project: str | None = None,
    format: Format = "table",
) -> int:
    """Show what became of an event: the line as it landed, the verdict, the row in events, and the visit that it fell into.

    With --visitor, list what a visitor did on a day, visit by visit. The exit code is 1 if nothing is found.

    Parameters
    ----------
    event_id
        Id of the event.
    visitor
        An anonymous id or a user id, instead of an event.
    day
        Day of the visitor's events, in the time zone of their project. Default: today.
    project
        Only this project.
    format
        Output format.
    """
    from radar_assets.events.inspection import inspect_events, inspect_lines
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse
    from radar_assets.windows import DAY, Window, utc_now

    if (event_id is None) == (visitor is None):
        raise UsageError("name an event id, or a visitor with --visitor")
    lakehouse = open_lakehouse(load_settings().prepare())
    calendar, now = lakehouse.calendar(), utc_now()
    first, last = (day, day) if day else (calendar.last_ended(now) + DAY, calendar.last_begun(now))
    window = calendar.hours_of(Window(Window.of_day(first).start, Window.of_day(last).end))
    events = list(inspect_events(lakehouse, window, event_id=event_id, visitor=visitor, project=project))
    if event_id is None:

        def is_of_day(event: dict[str, Any]) -> bool:
            id, at = event["project_id"], event["event_time"]
            return calendar.date_of(id, at) == (day or calendar.date_of(id, now))

        events = [each for each in events if is_of_day(each.event)]
        _print_visitor(events, str(visitor), f"on {day}" if day else "today", format)
        return int(not events)
    lines = inspect_lines(lakehouse, event_id, project)
    if format != "table":
        shown = [{**asdict(line), "line": _text(line.line)} for line in lines]
        found = {"lines": shown, "events": [asdict(event) for event in events]}
        out().print(json.dumps(found, indent=2, default=str), markup=False, highlight=False, soft_wrap=True)
    elif not lines:
        out().print(f"No line has the event id {event_id!r}. It may not be loaded yet; radar status shows that.")
    else:
        _print_event(lines, events)
    return int(not lines)


def _print_event(lines: "list[InspectedLine]", events: "list[InspectedEvent]") -> None:
    console = out()
    for line in lines:
        where = f"{line.segment}, line {line.line_number}, received hour {line.received_hour:%Y-%m-%d %H:00}"
        console.print(f"{_VERDICTS[line.verdict]}: {where}", style="bold", markup=False, highlight=False)
        for label, value in (
            ("received", line.received_at),
            ("reason", line.reason and f"{line.reason}: {line.detail}"),
            ("warnings", line.warnings),
            ("as landed", _text(line.line) or "no longer in the landing zone"),
        ):
            _print_pair(label, value)
    for each in events:
        console.print(f"\nIn events, project {each.event['project_id']}", style="bold", markup=False, highlight=False)
        for name in EVENT_COLUMNS:
            _print_pair(name, each.event.get(name))
        if each.visit is None:
            console.print("\nIn no visit", style="bold")
        else:
            console.print(f"\nIn visit {each.visit['id']}", style="bold", markup=False, highlight=False)
        _print_pair("why", each.why)
        for name, value in (each.visit or {}).items():
            if name != "id":
                _print_pair(name, value)


_VERDICTS = {"event": "Counted", "copy": "Left out as a copy", "rejected": "Rejected"}


def _print_pair(label: str, value: Any) -> None:
    if value not in (None, ""):
        text = f"  {label.replace('_', ' '):16} {printable(readable(value))}"
        out().print(text, markup=False, highlight=False, soft_wrap=True)


def _print_visitor(events: "list[InspectedEvent]", visitor: str, when: str, format: Format) -> None:
    visits = {visit["id"]: visit for event in events if (visit := event.visit)}
    numbers = {id: number for number, id in enumerate(visits, start=1)}
    columns = [
        Column("event_time", heading="time"),
        Column("visit"),
        Column("event"),
        Column("path", heading="page", ellipsis=True),
        Column("channel", rank=1),
        Column("is_interactive", heading="interactive", rank=2),
        Column("warnings", rank=1, optional=True),
        Column("event_id", short=12, rank=1),
        Column("why", only="data"),
    ]
    rows = [
        (
            each.event["event_time"],
            numbers[each.visit["id"]] if each.visit else None,
            *(each.event[name] for name in ("event", "path", "channel", "is_interactive", "warnings", "event_id")),
            each.why,
        )
        for each in events
    ]
    print_list(columns, rows, format, empty=f"{visitor} has no events {when}.")


def _text(line: bytes | None) -> str | None:
    return None if line is None else line.decode(errors="backslashreplace")
