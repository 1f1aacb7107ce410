"""`radar project`: the projects whose events are accepted."""

import re
import shlex
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.terminal import OPTIONS, counted, err, is_confirmed, out, printable, radar_command

if TYPE_CHECKING:
    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.store.database import Store
    from radar_assets.store.models import Project

project_app = App(
    name="project",
    help="Add, limit, rename, archive, export and list projects. Only events of known projects are accepted.",
    group_parameters=OPTIONS,
)


_PLAIN_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)


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
    any_id: bool = False,
) -> None:
    """Add a project. Its events are accepted from then on.

    Parameters
    ----------
    id
        Id of the project, as senders use it in project_id.
    name
        Name that people see. Default: the id.
    timezone
        IANA time zone of the project, e.g. Europe/Berlin. Its days start at midnight there; hours are those of UTC.
    events_per_second
        Maximum events per second. Default: RADAR_EVENTS_PER_SECOND.
    events_per_month
        Maximum events per calendar month (UTC). Default: RADAR_EVENTS_PER_MONTH.
    any_id
        Accept an id with spaces and special characters, because senders already use it.
    """
    from radar_assets.access.projects import add_project
    from radar_assets.store.models import FieldError, Project

    if not (any_id or is_plain_id(id)):
        raise FieldError("project id", id, _better_id(id))
    project = Project(id, name, timezone, events_per_second=events_per_second, events_per_month=events_per_month)
    store = open_projects()
    add_project(store, project)
    audit(store, "project.add", id, project_id=id, name=project.name, timezone=timezone)
    out().print(f"Added project {printable(id)}.", markup=False)


def is_plain_id(id: str) -> bool:
    """Whether `radar project add` accepts an id without `--any-id`."""
    return _PLAIN_ID.fullmatch(id) is not None


def _better_id(id: str) -> str:
    """Why an id is refused, and what to use instead."""
    slug = re.sub(r"[^a-z0-9._]+", "-", id.lower()).strip("-._")
    rule = "has characters other than letters, digits and . _ -, which are easily misspelt in senders and commands"
    example = f"; use e.g. {radar_command()} project add {slug} --name {shlex.quote(printable(id))}" if slug else ""
    return f"{rule}{example}; --any-id accepts it"


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

    store = open_projects()
    limit_project(store, id, events_per_second, events_per_month)
    limits = {"events_per_second": events_per_second, "events_per_month": events_per_month}
    audit(store, "project.limit", id, project_id=id, **limits)
    per_second, per_month = (f"{limit:,}" if limit else "default" for limit in (events_per_second, events_per_month))
    out().print(
        f"Limits of {printable(id)}: events per second: {per_second}, events per month: {per_month}.", markup=False
    )


@project_app.command
def set_timezone(
    id: str, timezone: str, /, *, since: date | None = None, dry_run: bool = False, yes: bool = False
) -> int:
    """Change the time zone of a project. Its days in the daily tables are rebuilt; no event is counted twice or lost.

    Parameters
    ----------
    id
        Id of the project.
    timezone
        IANA time zone, e.g. Europe/Berlin.
    since
        First day in the new time zone. It starts when it starts in the time zone before, so that earlier days stay as they are.
        Default: all days.
    dry_run
        Only say what would be rebuilt.
    yes
        Change it without asking.
    """
    from radar_assets.access.time_zones import set_time_zone
    from radar_assets.calendar import ALWAYS
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    store, first_day = open_store(settings.database), since or ALWAYS
    before = _find(store, id).timezone
    days = _days_to_rebuild(open_lakehouse(settings), first_day)
    start = f" from {first_day} on" if since else ""
    out().print(f"{printable(id)}: {before} -> {timezone}{start}", markup=False, highlight=False)
    if days:
        span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"
        out().print(f"To rebuild: {counted(len(days), 'day')}, {span}, of all projects.", highlight=False)
    if dry_run:
        return 0
    question, without_terminal = "Change it?", "nothing was changed; pass --yes to change it without a terminal"
    if days and not yes and not is_confirmed(question, without_terminal):
        out().print("Nothing was changed.")
        return 1
    if not set_time_zone(store, id, timezone, first_day):
        out().print(f"{printable(id)} has this time zone already.", markup=False)
        return 0
    audit(store, "project.set_timezone", id, project_id=id, before=before, timezone=timezone, since=since)
    out().print(f"The days of {printable(id)} are now those of {timezone}{start}.", markup=False, highlight=False)
    if days:
        out().print(f"The daemon rebuilds them; {radar_command()} status shows what is left.", markup=False)
    return 0


@project_app.command
def rename(id: str, name: str, /) -> None:
    """Change the name of a project that people see. Senders go on using the id.

    Parameters
    ----------
    id
        Id of the project.
    name
        The new name.
    """
    from radar_assets.access.projects import rename_project

    store = open_projects()
    rename_project(store, id, name)
    audit(store, "project.rename", id, project_id=id, name=name)
    out().print(f"{printable(id)} is now called {printable(name)}.", markup=False)


@project_app.command
def archive(id: str, /) -> None:
    """Refuse the events and keys of a project from now on. Its data is kept.

    Parameters
    ----------
    id
        Id of the project.
    """
    from radar_assets.access.projects import archive_project

    store = open_projects()
    archive_project(store, id)
    audit(store, "project.archive", id, project_id=id)
    out().print(f"Archived {printable(id)}; its keys are refused within seconds.", markup=False)


@project_app.command
def unarchive(id: str, /) -> None:
    """Accept the events of an archived project again.

    Parameters
    ----------
    id
        Id of the project.
    """
    from radar_assets.access.projects import archive_project

    store = open_projects()
    archive_project(store, id, archived=False)
    audit(store, "project.unarchive", id, project_id=id)
    out().print(f"{printable(id)} accepts events again.", markup=False)


@project_app.command
def export(id: str, folder: Annotated[Path, Parameter(allow_leading_hyphen=True)], /) -> int:
    """Write all events of a project to a folder, with its settings, but no secrets. radar import reads it in another home.

    Parameters
    ----------
    id
        Id of the project.
    folder
        New folder. - writes the events to standard output, one JSON object per line, without the settings.
    """
    from radar_assets.cli.project_export import export_folder, export_stream
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    store, lakehouse = open_store(settings.database), open_lakehouse(settings)
    if str(folder) == "-":
        count = export_stream(store, lakehouse, id, sys.stdout.buffer)
        audit(store, "project.export", id, project_id=id, lines=count)
        return 0
    manifest = export_folder(store, lakehouse, id, folder)
    audit(store, "project.export", id, project_id=id, folder=str(folder), lines=manifest["lines"])
    hours = counted(len(manifest["files"]), "hour")
    out().print(f"Exported {counted(manifest['lines'], 'line')} of {hours} to {folder}.", markup=False)
    if gone := manifest["hours_not_landed"]:
        err().print(
            f"Incomplete: the landing zone no longer has all lines of {counted(len(gone), 'hour')}, "
            f"{gone[0]} to {gone[-1]}; put their segments back and export again.",
            markup=False,
        )
    return int(bool(gone))


def _find(store: "Store", id: str) -> "Project":
    """A project by its id.

    Raises:
        FieldError: it is unknown.
    """
    from radar_assets.access import projects
    from radar_assets.store.models import FieldError

    for project in projects.list_projects(store):
        if project.id == id:
            return project
    raise FieldError("project id", id, "is unknown; radar project list shows them")


def _days_to_rebuild(lakehouse: "Lakehouse", first_day: date) -> list[date]:
    """The days of `sessions`, on which all other tables of days depend, from a day on."""
    from radar_assets.lakehouse.files import from_unit

    built = {ref.partition[0] for ref in lakehouse.snapshot("sessions").files()}
    days = (from_unit(value, "day").date() for value in built if value is not None)
    return sorted(day for day in days if day >= first_day)


@project_app.command(name="list")
def list_projects(*, format: Format = "table") -> None:
    """List the projects.

    Parameters
    ----------
    format
        Output format.
    """
    from radar_assets.access import projects

    columns = [
        Column("id"),
        Column("name", rank=1),
        Column("timezone", heading="time zone", rank=4),
        Column("created_at", heading="since", cell="{:%Y-%m-%d}".format, rank=3),
        Column("is_active", heading="active", rank=2),
        Column("events_per_second", only="data"),
        Column("events_per_month", only="data"),
    ]
    every = projects.list_projects(open_projects())
    rows = ([getattr(project, column.name) for column in columns] for project in every)
    print_list(columns, rows, format, empty=f"No projects yet; add one with {radar_command()} project add ID.")
