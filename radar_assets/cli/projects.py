"""`radar project`: the projects whose events are taken in."""

from typing import TYPE_CHECKING

from cyclopts import App

from radar_assets.cli.terminal import OPTIONS, out, printable

if TYPE_CHECKING:
    from radar_assets.store.database import Store

project_app = App(
    name="project", help="Add, limit and list the projects whose events are taken in.", group_parameters=OPTIONS
)


def open_projects() -> "Store":
    """The store of the settings, where projects are kept."""
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
    """Add a project; its events are accepted from then on.

    Parameters
    ----------
    id
        What senders call it, in each event's project_id.
    name
        What people call it; the id by default.
    timezone
        Where its people live, such as Europe/Berlin. Tables stay in UTC.
    events_per_second
        How many the collector takes in; as RADAR_EVENTS_PER_SECOND says by default.
    events_per_month
        How many it takes in within a calendar month; as RADAR_EVENTS_PER_MONTH says by default.
    """
    from radar_assets.store.models import Project

    project = Project(id, name, timezone, events_per_second=events_per_second, events_per_month=events_per_month)
    open_projects().add_project(project)
    out().print(f"Added project {printable(id)}.", markup=False)


@project_app.command
def limit(id: str, /, *, events_per_second: int | None = None, events_per_month: int | None = None) -> None:
    """Set how many events of a project the collector takes in; what is not given is as the settings say from now on.

    Parameters
    ----------
    id
        Id of the project.
    events_per_second
        On average over ten seconds.
    events_per_month
        In a calendar month in UTC.
    """
    from radar_assets.store.models import FieldError, Project

    with open_projects().session() as session:
        project = session.get(Project, id)
        if project is None:
            raise FieldError("project id", id, "is unknown; radar project list shows them")
        project.events_per_second, project.events_per_month = events_per_second, events_per_month
    per_second, per_month = (
        f"{limit:,}" if limit else "the settings'" for limit in (events_per_second, events_per_month)
    )
    out().print(f"Limits of {printable(id)}: {per_second} events a second, {per_month} a month.", markup=False)


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
