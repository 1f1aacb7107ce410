"""Tables as days of loads every 30 s leave them: many small files in each received hour, and everything built from them.

By hand: `python -m radar_assets_tests.operations.small_files HOME DAYS` prints what looking at the tables costs, before and after
maintenance.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from radar_assets.events.tables import RAW_EVENTS
from radar_assets.lakehouse.commits import Build
from radar_assets.lakehouse.files import NewFile, Origin, PartitionKey, file_stem, to_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.windows import HOUR, Window

PER_HOUR = 120
ROWS = 10


def load_days(lakehouse: Lakehouse, first: datetime, days: int, per_hour: int = PER_HOUR) -> None:
    """Add hours with small files to `raw_events`, and build the hourly tables from them, one commit per table and day."""
    for day in range(days):
        hours = [first + timedelta(days=day) + hour * HOUR for hour in range(24)]
        for hour in hours:
            _load_hour(lakehouse, hour, per_hour)
        _build(lakehouse, "rejected_events", "raw_events", {hour: [] for hour in hours})
        events = {hour: [_event(hour, number) for number in range(ROWS)] for hour in hours}
        _build(lakehouse, "events", "raw_events", events)
        metrics = {
            hour: [{"project_id": "shop", "hour": hour, "metric": "events", "value": float(ROWS)}] for hour in hours
        }
        _build(lakehouse, "hourly_metrics", "events", metrics)


def _load_hour(lakehouse: Lakehouse, hour: datetime, per_hour: int) -> None:
    unit = to_unit(hour, "hour")
    rows = [
        {**_event(hour, number), "received_hour": hour, "segment": "landed", "line_number": number + 1}
        for number in range(ROWS)
    ]
    (first,) = [_write(lakehouse, "raw_events", rows, (unit, unit), Origin())]
    files = [first]
    for _ in range(per_hour - 1):
        path = Path(first.path).with_name(f"{file_stem(RAW_EVENTS, Origin())}.parquet")
        os.link(first.path, path)
        files.append(NewFile(str(path), first.partition, first.rows, first.size_bytes))
    lakehouse.catalog.commit("raw_events", lambda _: Build(files, {Window.of_hour(hour): Origin()}), replace=False)


def _event(hour: datetime, number: int) -> dict[str, Any]:
    return {"event_id": f"{hour.isoformat()}-{number}", "project_id": "shop", "event_time": hour}


def _build(lakehouse: Lakehouse, name: str, parent: str, rows: Mapping[datetime, list[dict[str, Any]]]) -> None:
    origin = Origin(lakehouse.snapshot(parent).sequence_number)
    files = [_write(lakehouse, name, some, (to_unit(hour, "hour"),), origin) for hour, some in rows.items()]
    windows = {Window.of_hour(hour): origin for hour in rows}
    lakehouse.catalog.commit(name, lambda _: Build(files, windows))


def _write(
    lakehouse: Lakehouse, name: str, rows: Iterable[dict[str, Any]], partition: PartitionKey, origin: Origin
) -> NewFile:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    table = lakehouse.snapshot(name)
    written = pa.Table.from_pylist(list(rows), schema_to_pyarrow(table.iceberg.schema()))
    path = lakehouse.catalog.data_folder(table.table) / "loads" / f"{file_stem(table.table, origin)}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(written, path)
    return NewFile(str(path), partition, written.num_rows, path.stat().st_size)


_FIRST_LOOK = """
import sys, time
from radar_assets.settings import load_settings
from radar_assets.tables import open_lakehouse
from radar_assets.lakehouse.staleness import unbuilt
from datetime import date, datetime
lakehouse = open_lakehouse(load_settings())
lakehouse.snapshot("alerts")
began, cpu = time.monotonic(), time.process_time()
for table in lakehouse.tables.derived():
    unbuilt(lakehouse.snapshot(table.inputs[0].name), lakehouse.snapshot(table.name), Calendar({}), date(2026, 1, 1))
print(f"first look of the stale sensors: {time.monotonic() - began:.1f} s, {time.process_time() - cpu:.1f} CPU s")
"""


def _print_costs(lakehouse: Lakehouse) -> None:
    table = lakehouse.snapshot("raw_events")
    print(f"raw_events: {len(table.files()):,} files, {len(table.manifests()):,} manifests", flush=True)
    subprocess.run([sys.executable, "-c", _FIRST_LOOK], check=True)
    began, before = time.monotonic(), os.times()
    subprocess.run([Path(sys.executable).with_name("radar"), "status"], check=True, stdout=subprocess.DEVNULL)
    cpu = sum(os.times()[2:4]) - sum(before[2:4])
    print(f"radar status: {time.monotonic() - began:.1f} s, {cpu:.1f} CPU s", flush=True)


def main() -> None:
    """Print the figures."""
    from radar_assets.access.projects import ensure_projects
    from radar_assets.operations.maintenance import maintain
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.store.models import Project
    from radar_assets.tables import open_lakehouse
    from radar_assets.windows import utc_now

    os.environ["RADAR_HOME"], days = sys.argv[1], int(sys.argv[2])
    settings = load_settings().prepare()
    ensure_projects(open_store(settings.database), [Project(id="shop", name="shop", timezone="UTC")])
    lakehouse = open_lakehouse(settings)
    today = Window.of_day(utc_now().date()).start
    load_days(lakehouse, today - timedelta(days=days), days)
    _print_costs(lakehouse)
    began, cpu = time.monotonic(), time.process_time()
    for name in lakehouse.tables:
        print(name, maintain(lakehouse, name, utc_now(), timedelta(hours=24)), flush=True)
    print(f"maintenance: {time.monotonic() - began:.1f} s, {time.process_time() - cpu:.1f} CPU s", flush=True)
    _print_costs(lakehouse)


if __name__ == "__main__":
    main()
