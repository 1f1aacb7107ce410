"""`radar import`: files of other systems as segments in the landing zone, and their projects in the store."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import CycloptsError, Parameter

from radar_assets.cli.terminal import err, out, printable

if TYPE_CHECKING:
    from radar_assets.events.importer import ImportResult
    from radar_assets.store.database import Store

PROJECTS_SHOWN = 10

ONE_A_TIME = Parameter(consume_multiple=False)


def import_(
    file: Path,
    /,
    *,
    format: Literal["ndjson", "csv", "apache"],
    project: str | None = None,
    map: Annotated[Sequence[str], ONE_A_TIME] = (),
    set: Annotated[Sequence[str], ONE_A_TIME] = (),
    site: str = "",
) -> None:
    """Turn a file of another system into segments; importing it again lands nothing twice.

    Columns that are called like fields need no --map. What is neither mapped nor a field becomes a property.
    Events are received when their column received_at says so, and now if there is none.

    Parameters
    ----------
    file
        Plain or compressed with gzip or zstd, of any size; - is the standard input. Named here, a link or a pipe is read too.
    format
        JSON objects a line each, CSV with a header, or a web server's access log (common or combined).
    project
        The project of all its events. It is added if it is new, as are those that a column names.
    map
        What a field comes from, such as timestamp=created_at or context.country=geo; for each field once.
    set
        A field that is the same for all events, such as event=commit; for each field once.
    site
        For access logs: what the paths are relative to, such as https://example.com.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from radar_assets.events import importer
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    mapping, constants = _pairs("--map", map), _pairs("--set", set)
    settings = load_settings().prepare()
    store = open_store(settings.database)
    added: list[str] = []
    columns = (TextColumn("import"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[lines]:,} lines"))
    with Progress(*columns, TimeElapsedColumn(), console=err()) as progress:
        task = progress.add_task("import", total=None, lines=0)

        def show(state: importer.Progress) -> None:
            progress.update(task, completed=state.read_bytes, total=state.total_bytes, lines=state.lines)

        def register(projects: Iterable[str]) -> None:
            # Before their events land, as a running daemon may load those at once.
            added.extend(_register(store, projects))

        result = importer.import_file(
            file,
            settings.landing_zone,
            engine=open_lakehouse(settings).engine,
            format=format,
            start=settings.start_date,
            mapping=mapping,
            constants=constants,
            project=project,
            site=site,
            on_projects=register,
            on_progress=show,
        )
    _print_result(result, added)


def _pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """The `name=value` pairs of an option."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise CycloptsError(msg=f"{option} {text}: write name=value")
        pairs[name] = value
    return pairs


def _register(store: "Store", ids: Iterable[str]) -> list[str]:
    """Add the projects that aren't there yet; an id that none can have is for the contract to reject."""
    from radar_assets.store.models import FieldError, Project

    projects = []
    for name in ids:
        try:
            projects.append(Project(name))
        except FieldError:
            continue
    return store.ensure_projects(projects)


def _print_result(result: "ImportResult", added: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_row("events", f"{result.events:,}")
    if result.unreadable:
        table.add_row("not readable", f"{result.unreadable:,} of {result.lines:,} lines; the contract will reject them")
    there = f", {result.segments_there:,} were there already" if result.segments_there else ""
    table.add_row("segments", f"{result.segments:,} new{there}")
    if result.hours:
        first, last = result.hours[0], result.hours[-1]
        table.add_row("received", f"{first:%Y-%m-%d %H:00} to {last:%Y-%m-%d %H:59} UTC, {len(result.hours):,} hours")
    for name, count in list(result.projects.items())[:PROJECTS_SHOWN]:
        if name is None:
            table.add_row("no project", f"{count:,} events; they will be rejected, so import with --project")
        else:
            new = " (new)" if name in added else ""
            table.add_row("project", Text(f"{printable(name)}: {count:,} events{new}"))
    if len(result.projects) > PROJECTS_SHOWN:
        table.add_row("", f"and {len(result.projects) - PROJECTS_SHOWN:,} more projects")
    console = out()
    console.print(table)
    console.print("Next: radar dev loads them; radar status shows how far that has come.")
