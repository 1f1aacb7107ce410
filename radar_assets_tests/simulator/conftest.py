"""Four weeks of simulated traffic in DuckDB, which most of these tests query."""

from collections.abc import Iterator
from datetime import date

import duckdb
import pytest

from radar_assets.simulator.traffic import simulate

START, DAYS, EVENTS = date(2026, 1, 5), 28, 200_000


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables `lines`, with a row of nulls for each line that is not JSON, and `events`, the lines with ids and times."""
    file = tmp_path_factory.mktemp("traffic") / "month.ndjson"
    with file.open("wb") as sink:
        sink.writelines(segment.lines for segment in simulate(START, DAYS, events=EVENTS))
    texts = ("event_id", "project_id", "type", "event", "user_id", "anonymous_id", "session_id", "timestamp")
    columns = dict.fromkeys(texts, "varchar") | dict.fromkeys(("sent_at", "received_at"), "timestamp")
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
                event_id, project_id, type, event, user_id, session_id, properties,
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
