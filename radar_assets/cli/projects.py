"""`radar project`: the projects whose events are taken in."""

from typing import TYPE_CHECKING

from cyclopts import App

from radar_assets.cli.terminal import OPTIONS, out, printable

if TYPE_CHECKING:
    from radar_assets.store.database import Store

project_app = App(name="project", help="Add and list the projects whose events are taken in.", group_parameters=OPTIONS)


def open_projects() -> "Store":
    """The store of the settings, where projects are kept."""
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store

    return open_store(load_settings().prepare().database)


@project_app.command
def add(id: str, /, *, name: str | None = None, timezone: str = "UTC") -> None:
    """Add a project; its events are accepted from then on.

    Parameters
    ----------
    id
        What senders call it, in each event's project_id.
    name
        What people call it; the id by default.
    timezone
        Where its people live, such as Europe/Berlin. Tables stay in UTC.
    """
    from radar_assets.store.models import Project

    open_projects().add_project(Project(id, name, timezone))
    out().print(f"Added project {printable(id)}.", markup=False)


@project_app.command(name="list")
def list_projects() -> None:
    """List the projects."""
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "name", "time zone", "since", "active", show_edge=False)
    for project in open_projects().projects():
        cells = (project.id, project.name, project.timezone, f"{project.created_at:%Y-%m-%d}")
        table.add_row(*(Text(printable(cell)) for cell in cells), "yes" if project.is_active else "no")
    out().print(table if table.row_count else "There are no projects yet; radar project add ID makes one.")
