"""`radar import`: converts files of other systems to segments in the landing zone, and adds their projects to the store."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import CycloptsError, Parameter

from radar_assets.cli.auditing import audit
from radar_assets.cli.terminal import counted, out, print_facts, progress_bars, radar_command
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from radar_assets.events.importer import ImportResult
    from radar_assets.store.database import Store

MAX_PROJECTS_SHOWN = 10

ONE_A_TIME = Parameter(consume_multiple=False)


def import_(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    format: Literal["ndjson", "csv", "apache"] | None = None,
    project: str | None = None,
    map: Annotated[Sequence[str], ONE_A_TIME] = (),
    set: Annotated[Sequence[str], ONE_A_TIME] = (),
    site: str = "",
    pages: str = "",
    requests: Literal["keep", "skip"] = "keep",
    build: bool = False,
) -> None:
    """Import a file of another system. Importing the same file again adds no events.

    Columns named like fields of the event need no --map. All other unmapped columns become properties.
    The column received_at says when an event was received. Default: now.

    Parameters
    ----------
    file
        The file, of any size, plain or compressed with gzip or zstd; - reads standard input. Links and pipes are read too.
        Or the folder of radar project export, whose project is added as it was.
    format
        ndjson: one JSON object per line. csv: with a header line. apache: access log, common or combined. Required for a file.
    project
        Project of all events, if no column has it. New projects are added.
    map
        FIELD=COLUMN, e.g. timestamp=created_at or context.country=geo. Can be repeated.
    set
        FIELD=VALUE for all events, e.g. event=commit. Can be repeated.
    site
        Base URL of the paths in an access log, e.g. https://example.com.
    pages
        Regular expression for the paths in an access log that are pages; successful GETs of pages are page views. Default: all but
        styles, scripts, pictures, downloads and other files.
    requests
        Requests of an access log that are not page views: keep lands them as events named request, skip leaves them out.
    build
        Also load the events and build all tables from them in this process, oldest days first. If interrupted, run the same command
        again to resume.
    """
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from radar_assets.cli.project_export import add_exported_project, exported_files, land_export
    from radar_assets.cli.runs import catch_up
    from radar_assets.events import importer
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.store.first_day import begin_by
    from radar_assets.tables import open_lakehouse

    mapping, constants = _pairs("--map", map), _pairs("--set", set)
    settings = load_settings().prepare()
    store, lakehouse = open_store(settings.database), open_lakehouse(settings)
    added: list[str] = []
    manifest, files = None, []
    if file.is_dir():
        if format or mapping or constants or project:
            raise UsageError(
                "the folder of an export is imported as it is; leave out --format, --project, --map and --set"
            )
        manifest, files = exported_files(file)
        if add_exported_project(store, manifest):
            added.append(manifest["project"]["id"])
            audit(store, "project.add", added[0], project_id=added[0], by="radar import")
    elif format is None:
        raise UsageError("--format is missing; use ndjson, csv or apache")
    columns = (TextColumn("import"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[lines]:,} lines"))
    with progress_bars(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("import", total=None, lines=0)

        def show(state: importer.Progress) -> None:
            progress.start()
            progress.update(task, completed=state.read_bytes, total=state.total_bytes, lines=state.lines)

        def register(projects: Iterable[str]) -> None:
            # Before their events land, because a running daemon may load them at once.
            added.extend(_register(store, projects))

        result = (
            land_export(settings, manifest, files)
            if manifest
            else importer.import_file(
                file,
                settings.landing_zone,
                engine=lakehouse.engine,
                format=format or "ndjson",
                start=settings.start_date,
                mapping=mapping,
                constants=constants,
                project=project,
                log=importer.AccessLog(site, pages, requests == "keep"),
                on_projects=register,
                on_progress=show,
            )
        )
    if result.hours:
        begin_by(store, result.hours[0].date())
    landed = {"events": result.events, "segments": result.segments}
    audit(store, "import", str(file), project_id=project, format=format, **landed)
    _print_result(result, added)
    radar = radar_command()
    if not build:
        out().print(f"Next: {radar} dev loads them; {radar} status shows the progress.")
        return
    built = catch_up(settings, lakehouse, result.hours)
    out().print(f"Built {counted(built, 'partition')}." if built else "Everything was built before.")


def _pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """The `name=value` pairs of an option."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise CycloptsError(msg=f"{option} {text}: use name=value")
        pairs[name] = value
    return pairs


def _register(store: "Store", ids: Iterable[str]) -> list[str]:
    """Add new projects. Invalid ids are skipped: the contract rejects their events."""
    from radar_assets.access.projects import ensure_projects
    from radar_assets.store.models import FieldError, Project

    projects = []
    for name in ids:
        try:
            projects.append(Project(name))
        except FieldError:
            continue
    added = ensure_projects(store, projects)
    for id in added:
        audit(store, "project.add", id, project_id=id, by="radar import")
    return added


def _print_result(result: "ImportResult", added: list[str]) -> None:
    facts = [("events", f"{result.events:,}")]
    if result.unreadable:
        facts.append(("unreadable", f"{result.unreadable:,} of {counted(result.lines, 'line')}; they will be rejected"))
    skipped = f", {result.segments_there:,} imported before" if result.segments_there else ""
    facts.append(("segments", f"{result.segments:,} new{skipped}"))
    if result.hours:
        first, last = result.hours[0], result.hours[-1]
        span = f"{first:%Y-%m-%d %H:00} to {last:%Y-%m-%d %H:59} UTC, {counted(len(result.hours), 'hour')}"
        facts.append(("received", span))
    for name, count in list(result.projects.items())[:MAX_PROJECTS_SHOWN]:
        if name is None:
            facts.append(("no project", f"{counted(count, 'event')}, which will be rejected; use --project"))
        else:
            facts.append(("project", f"{name}: {counted(count, 'event')}{' (new)' if name in added else ''}"))
    if len(result.projects) > MAX_PROJECTS_SHOWN:
        facts.append(("", f"and {counted(len(result.projects) - MAX_PROJECTS_SHOWN, 'more project')}"))
    print_facts(facts)
