"""The event catalogue: fields, reasons of rejection, names with a meaning, protocols."""

from collections.abc import Mapping
from enum import StrEnum

from parts.text import attribute_docs, code, literals, markdown_table
from pydantic.fields import FieldInfo

from radar_assets.collector.doors import DOORS
from radar_assets.events.contract import DEFAULT_EVENTS, MAX_TEXT, CanonicalEvent, Reason
from radar_assets.events.event_names import STANDARD_NAMES, Meaning
from radar_assets.events.tables import RAW_EVENTS

_COUNTED: Mapping[Meaning, str] = {
    "purchase": "A purchase: counted by `orders`, `revenue` and `conversions`.",
    "refund": "A refund: counted by `refunds`.",
    "cancellation": "A cancelled order: counted by `refunds` if it has an amount.",
    "sign_up": "Counted by `signups`.",
    "conversion": "Counted by `conversions`, besides purchases.",
    "error": "Counted by `errors`.",
}


def event_fields() -> str:
    """The fields of the canonical event."""
    described = {column.name: column.description for column in RAW_EVENTS.columns}
    docs = attribute_docs(CanonicalEvent)
    rows = []
    for name, field in CanonicalEvent.model_fields.items():
        text = " ".join(filter(None, (described[name], docs.get(name))))
        rows.append([code(name), event_type(field), "yes" if field.is_required() else "", text])
    return markdown_table(("field", "type", "required", "description"), rows)


def event_type(field: FieldInfo) -> str:
    """The type of a field of the canonical event, in words."""
    kinds = str(field.annotation)
    if choices := literals(field.annotation):
        return "one of " + ", ".join(map(code, choices))
    if "dict" in kinds:
        return "object"
    return "RFC 3339 time" if "datetime" in kinds else f"text, at most {MAX_TEXT} characters"


def rejection_reasons() -> str:
    """The reasons for rejecting lines, in the order in which they are checked."""
    return enum_table(Reason, "reason")


def enum_table(members: type[StrEnum], heading: str) -> str:
    """The values of an enumeration, with the docstrings of its members."""
    docs = attribute_docs(members)
    return markdown_table((heading, "meaning"), ([code(one.value), docs.get(one.name, "")] for one in members))


def event_names() -> str:
    """Event names with a special meaning."""
    rows = [[code(name), f"The default name of events of type `{kind}`."] for kind, name in DEFAULT_EVENTS.items()]
    rows[0][1] += " Counted by `page_views`, and by everything about pages."
    for meaning, names in STANDARD_NAMES.items():
        rows.append([", ".join(map(code, names)), _COUNTED[meaning]])
    return markdown_table(("event", "meaning"), rows)


def doors_table() -> str:
    """The protocols that the collector accepts, with their routes."""
    rows = []
    for door in DOORS:
        # A trailing slash makes no difference.
        routes = dict.fromkeys(f"{method} {path.rstrip('/')}" for method, path in door.routes)
        rows.append([code(door.name), "<br>".join(map(code, routes))])
    return markdown_table(("protocol", "routes"), rows)
