"""The tables that metrics aggregate, and the columns that expressions may use."""

from typing import Literal

from radar_assets.events.tables import EVENTS, SESSIONS

Source = Literal["events", "sessions"]

COLUMNS: dict[Source, dict[str, str]] = {
    "events": {column.name: column.type for column in EVENTS.columns} | {"visitor": "string"},
    # A duration is a whole number of microseconds; as a decimal, its sum is the same in any order.
    "sessions": {column.name: column.type for column in SESSIONS.columns}
    | {"visitor": "string", "duration_s": "decimal(18, 6)"},
}
"""Columns with their types, by table. The SQL of the metrics adds `visitor`."""

JSON_COLUMNS = ("properties", "context")
"""Columns whose text is JSON."""
