"""Four weeks of simulated traffic in DuckDB, which most of these tests query, and arguments of a short one."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from radar_assets.simulator.delivery import NO_ODDITIES, ODDITIES, Oddities
from radar_assets.simulator.traffic import SimulatedSegment, simulate

START, DAYS, EVENTS = date(2026, 1, 5), 28, 200_000
SHORT: dict[str, Any] = {"start": date(2026, 3, 28), "days": 3, "events": 6_000}


def one(month: duckdb.DuckDBPyConnection, sql: str) -> tuple:
    row = month.execute(sql).fetchone()
    assert row is not None
    return row


def lines_of(segments: Iterable[SimulatedSegment]) -> list[bytes]:
    return [line for segment in segments for line in segment.lines.splitlines()]


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables `lines`, with a row of nulls for each line that is not JSON, and `events`, the lines with ids and times."""
    with loaded(tmp_path_factory.mktemp("month") / "lines.ndjson", ODDITIES) as connection:
        yield connection


@pytest.fixture(scope="session")
def plain_month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same without oddities."""
    with loaded(tmp_path_factory.mktemp("plain-month") / "lines.ndjson", NO_ODDITIES) as connection:
        yield connection


@contextmanager
def loaded(file: Path, oddities: Oddities) -> Iterator[duckdb.DuckDBPyConnection]:
    """The month's traffic in DuckDB."""
    with file.open("wb") as sink:
        sink.writelines(segment.lines for segment in simulate(START, DAYS, events=EVENTS, oddities=oddities))
    texts = ("event_id", "project_id", "type", "event", "user_id", "anonymous_id", "session_id", "timestamp")
    columns = dict.fromkeys((*texts, "sequence"), "varchar") | dict.fromkeys(("sent_at", "received_at"), "timestamp")
    with duckdb.connect() as connection:
        connection.execute(
            """
            create table lines as
            from read_json($file, format = 'newline_delimited', ignore_errors = true, columns = $columns)
            """,
            {"file": str(file), "columns": columns | dict.fromkeys(("properties", "context"), "json")},
        )
        connection.execute(
            """
            create table events as
            select
                event_id, project_id, type, event, user_id, session_id, properties, context,
                coalesce(anonymous_id, user_id) as visitor_id,
                timestamp::timestamp as happened,
                sent_at as sent,
                received_at as received,
                context ->> 'userAgent' as user_agent
            from lines
            where coalesce(anonymous_id, user_id) is not null and try_cast(timestamp as timestamp) is not null
            """
        )
        yield connection
