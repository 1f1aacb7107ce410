"""The tables that metrics aggregate, and the columns that expressions may use."""

from typing import Literal

from radar_assets.events.tables import EVENTS, SESSIONS

Source = Literal["events", "sessions"]

COLUMNS: dict[Source, dict[str, str]] = {
    "events": {column.name: column.type for column in EVENTS.columns} | {"visitor": "string", "meaning": "string"},
    # A duration is a whole number of microseconds; as a decimal, its sum is the same in any order.
    "sessions": {column.name: column.type for column in SESSIONS.columns if column.name != "date"}
    | {"visitor": "string", "duration_s": "decimal(18, 6)"},
}
"""Columns with their types, by table. The SQL of the metrics adds `visitor`, and to events `meaning`."""

COUNTED = "is_counted"
"""A column that the SQL adds: whether the row counts for expressions that say nothing of bots and internal traffic."""
FLAGS = {"is_bot": "is_human", "is_internal": "is_external"}
"""The columns that mark events to leave out, and their opposites, which the SQL adds."""
JSON_COLUMNS = ("properties", "context")
"""Columns whose text is JSON."""
