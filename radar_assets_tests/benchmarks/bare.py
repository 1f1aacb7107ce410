"""The floor of the pipeline benchmark, in its own process: the same transformations in DuckDB, without catalog, checks or Dagster.

It assumes that there are no other days and no other writers. Statements are those of Radar's models, except where one written for
this case is faster.
"""

import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from radar_assets_tests.benchmarks.measurement import report

MEMORY = "1500MB"
"""For DuckDB, of the 2 GB that the benchmark allows."""
_OUTPUT = "format parquet, compression zstd"


def main(landing: str, output: str, threads: str, day: str, projects: str) -> None:
    """Read the landing zone and write each table's rows of the day as a Parquet file."""
    began = time.monotonic()
    import duckdb
    import pyarrow as pa
    import sqlglot  # noqa: F401 - the module that composes the metrics is loaded before, too

    from radar_assets.calendar import Calendar
    from radar_assets.events.contract_sql import raw_events_model
    from radar_assets.events.enrichment import events_model
    from radar_assets.events.sites import public_suffixes
    from radar_assets.events.traffic_sources import referrer_sources
    from radar_assets.events.user_agents import describe_user_agents
    from radar_assets.lakehouse.sql import load_model
    from radar_assets.metrics.composition import compose
    from radar_assets.metrics.registry import registry
    from radar_assets.simulator.projects import simulated_projects
    from radar_assets.windows import Window

    folder = Path(output)
    window = Window.of_day(datetime.fromisoformat(day).date())
    span = {"start": window.start, "end": window.end}
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY,
            "threads": int(threads),
            "preserve_insertion_order": False,
            "temp_directory": str(folder / "spill"),
        }
    )
    connection.execute("set TimeZone = 'UTC'")
    imported = time.monotonic()

    steps: dict[str, float] = {}

    def write(table: str, sql: str, parameters: Mapping[str, Any]) -> None:
        """Write a statement's rows to a file, and define the table as that file."""
        since = time.monotonic()
        file = folder / f"{table}.parquet"
        connection.execute(f"copy ({sql}) to '{file}' ({_OUTPUT})", dict(parameters))
        # Lines are identified by their position in the file.
        columns = "* replace (file_row_number as line_number)" if table == "raw_events" else "*"
        connection.execute(
            f"create view {table} as select {columns} from read_parquet('{file}', file_row_number = true)"
        )
        steps[table] = time.monotonic() - since

    lines = _statement("lines").replace("$files", str([str(path) for path in sorted(Path(landing).rglob("*.ndjson"))]))
    connection.execute(f"create view lines as {lines}")
    connection.register("projects", pa.table({"project_id": [one.id for one in simulated_projects(int(projects))]}))
    write("raw_events", raw_events_model().sql, {"start_date": window.start.date()})
    write("rejected_events", load_model("radar_assets.events", "rejected_events").sql, span)
    seen = connection.execute(load_model("radar_assets.events", "user_agents").sql, span).fetchall()
    connection.register("user_agents", describe_user_agents(text for (text,) in seen))
    connection.register("referrer_sources", referrer_sources())
    connection.execute("create view related_rows as from raw_events limit 0")
    connection.register("public_suffixes", public_suffixes())
    write("events", events_model().sql, span)
    connection.register("utc_offsets", Calendar({}).relation(window))
    connection.execute(f"create view dated_events as {load_model('radar_assets.events', 'dated_events').sql}")
    connection.execute(
        f"create table joining_events as {load_model('radar_assets.events', 'joining_events').sql}", span
    )
    write("sessions", _statement("sessions"), {})
    write("hourly_metrics", compose(load_model("radar_assets.metrics", "hourly_metrics"), registry(), "hour").sql, span)
    write("daily_metrics", compose(load_model("radar_assets.metrics", "daily_metrics"), registry(), "day").sql, span)
    write("daily_breakdowns", load_model("radar_assets.metrics", "daily_breakdowns").sql, span)
    ended = time.monotonic()
    report({"imports_s": imported - began, "runs_s": ended - imported, "steps_s": steps})


def _statement(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text()


if __name__ == "__main__":
    main(*sys.argv[1:])
