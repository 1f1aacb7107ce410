"""`radar project`: the projects whose events are accepted."""

from typing import TYPE_CHECKING

from cyclopts import App

from radar_assets.cli.terminal import OPTIONS, out, printable

if TYPE_CHECKING:
    from radar_assets.store.database import Store

project_app = App(
    name="project",
    help="Add, limit and list projects. Only events of known projects are accepted.",
    group_parameters=OPTIONS,
)


def open_projects() -> "Store":
    """The store, as the settings configure it."""
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store

    return open_store(load_settings().prepare().database)


@project_app.command
def add(
    id: str,
    /,
    *,
    name: str | None = None,
    timezone: str = "UTC",
    events_per_second: int | None = None,
    events_per_month: int | None = None,
) -> None:
    """Add a project. Its events are accepted from then on.

    Parameters
    ----------
    id
        Id of the project, as senders use it in project_id.
    name
        Display name. Default: the id.
    timezone
        IANA time zone of the project, e.g. Europe/Berlin. Tables stay in UTC.
    events_per_second
        Maximum events per second. Default: RADAR_EVENTS_PER_SECOND.
    events_per_month
        Maximum events per calendar month (UTC). Default: RADAR_EVENTS_PER_MONTH.
    """
    from radar_assets.access.projects import add_project
    from radar_assets.store.models import Project

    project = Project(id, name, timezone, events_per_second=events_per_second, events_per_month=events_per_month)
    add_project(open_projects(), project)
    out().print(f"Added project {printable(id)}.", markup=False)


@project_app.command
def limit(id: str, /, *, events_per_second: int | None = None, events_per_month: int | None = None) -> None:
    """Set the limits of a project. A limit that is not given goes back to the default in the settings.

    Parameters
    ----------
    id
        Id of the project.
    events_per_second
        Maximum events per second, averaged over ten seconds.
    events_per_month
        Maximum events per calendar month (UTC).
    """
    from radar_assets.access.projects import limit_project

    limit_project(open_projects(), id, events_per_second, events_per_month)
    per_second, per_month = (f"{limit:,}" if limit else "default" for limit in (events_per_second, events_per_month))
    out().print(
        f"Limits of {printable(id)}: events per second: {per_second}, events per month: {per_month}.", markup=False
    )


@project_app.command(name="list")
def list_projects() -> None:
    """List the projects."""
    from rich.table import Table
    from rich.text import Text

    from radar_assets.access import projects

    table = Table("id", "name", "time zone", "since", "active", show_edge=False)
    for project in projects.list_projects(open_projects()):
        cells = (project.id, project.name, project.timezone, f"{project.created_at:%Y-%m-%d}")
        table.add_row(*(Text(printable(cell)) for cell in cells), "yes" if project.is_active else "no")
    out().print(table if table.row_count else "No projects yet; add one with radar project add ID.")
