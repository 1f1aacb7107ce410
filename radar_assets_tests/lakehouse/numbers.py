"""A small model for writing: one row per project and hour, whose value identifies the writer."""

from datetime import datetime

from radar_assets.lakehouse.commits import Build, Commit
from radar_assets.lakehouse.files import Origin
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.metrics.tables import HOURLY_METRICS
from radar_assets.windows import Window

DAY = datetime(2026, 1, 1)
ROWS = SqlModel(
    "hourly_metrics",
    """
    select 'p' || project as project_id, $start::timestamp + to_hours(hour) as hour, 'm' as metric, $value::double as value
    from range(date_diff('hour', $start::timestamp, $end::timestamp)) hours(hour), range($projects) projects(project)
    """,
)


def write(lakehouse: Lakehouse, window: Window, value: float, projects: int = 3, built_from: int = 0) -> Commit:
    """Replace a window with rows that hold one value."""

    def build(_: Snapshot) -> Build:
        return Build(build_files(lakehouse, window, value, projects, built_from), {window: Origin(built_from)})

    return lakehouse.catalog.commit("hourly_metrics", build)


def build_files(lakehouse: Lakehouse, window: Window, value: float, projects: int = 3, built_from: int = 0):
    """Uncommitted files with one row per project and hour of the window."""
    folder = lakehouse.catalog.data_folder(HOURLY_METRICS)
    parameters = {"start": window.start, "end": window.end, "value": value, "projects": projects}
    return lakehouse.engine.write(ROWS, {}, parameters, HOURLY_METRICS, folder, Origin(built_from))


def read(lakehouse: Lakehouse, snapshot: Snapshot | None = None) -> list[tuple[datetime, str, float]]:
    """All rows, in order."""
    files = Files.of(snapshot or lakehouse.snapshot("hourly_metrics"))
    model = SqlModel("read", "select hour, project_id, value from hourly_metrics order by all")
    return [tuple(row.values()) for row in lakehouse.engine.query(model, {"hourly_metrics": files}).to_pylist()]
