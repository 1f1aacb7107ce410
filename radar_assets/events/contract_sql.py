"""The contract in SQL: what `sql/raw_events.sql` takes from `contract.py`, so that a rule is declared once.

The verdict on single lines is in `contract.py`.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import get_args

from radar_assets.events.contract import (
    CLOCK_TOLERANCE,
    DEFAULT_EVENTS,
    DEFAULT_TYPE,
    FUTURE_TOLERANCE,
    KINDS,
    MAX_DEPTH,
    MAX_LINE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_TEXT,
    RFC3339,
    CanonicalEvent,
    EventType,
    Object,
    Time,
    fields_of,
    lengths,
)
from radar_assets.lakehouse.sql import SqlModel, load_model


@cache
def raw_events_model() -> SqlModel:
    """The statement of `raw_events`, with the rules of the contract."""
    return load_model("radar_assets.events", "raw_events").with_fragments(
        max_line_bytes=str(MAX_LINE_BYTES),
        max_payload_bytes=str(MAX_PAYLOAD_BYTES),
        max_depth=str(MAX_DEPTH),
        max_text=str(MAX_TEXT),
        rfc3339=_literal(RFC3339),
        clock_tolerance=_interval(CLOCK_TOLERANCE),
        future_tolerance=_interval(FUTURE_TOLERANCE),
        default_type=_literal(DEFAULT_TYPE),
        default_event=_case(
            f"type = {_literal(kind)} then {_literal(event)}" for kind, event in DEFAULT_EVENTS.items()
        ),
        type_fault=_case(_type_faults()),
        field_fault=_case(_field_faults()),
    )


def _type_faults() -> Iterator[str]:
    """Faults of values as JSON, whose first character shows the type."""
    for name, kind in KINDS.items():
        yield f"""not starts_with(sent.{name}, '{"{" if kind is Object else '"'}') then 'wrong_type: {name}'"""


def _field_faults() -> Iterator[str]:
    """Other faults of single fields, in the order of the reasons."""
    types = ", ".join(map(_literal, get_args(EventType)))
    for name in fields_of(EventType):
        yield f"{name} not in ({types}) then 'unknown_type: {name}: ' || left({name}, 100)"
    for name, field in CanonicalEvent.model_fields.items():
        if field.is_required():
            yield f"{_text_of(name)} is null then 'missing_field: {name}'"
    bounds = {name: length for name, kind in KINDS.items() if (length := lengths(kind))}
    for name, (minimum, maximum) in bounds.items():
        yield f"length({name}) not between {minimum} and {maximum} then 'wrong_length: {name}: ' || length({name})"
    for name in bounds:
        yield f"not is_plain and contains({name}, chr(0)) then 'nul_character: {name}'"
    for name in fields_of(Time):
        text = _text_of(name)
        yield f"{name} is null and {text} is not null then 'invalid_timestamp: {name}: ' || left({text}, 100)"


def _text_of(name: str) -> str:
    """The column that holds a field as sent."""
    return f"{name}_text" if KINDS[name] is Time else name


def _case(branches: Iterator[str]) -> str:
    return f"case {' '.join(f'when {branch}' for branch in branches)} end"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _interval(duration: timedelta) -> str:
    return f"(interval {int(duration.total_seconds())} seconds)"
