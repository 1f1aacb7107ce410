"""`radar live`: the live traffic of a project, read from the landing zone of this home or from a remote collector."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from radar_assets.cli.chart import columns
from radar_assets.cli.signals import StopSignals
from radar_assets.cli.terminal import counted, out, printable, radar_command
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from radar_assets.collector.live import Counts

REFRESH_S = 1.0
TIMEOUT_S = 10


class LiveError(Exception):
    """The live numbers are not available. The message says why, and what to do."""


def live(
    project: str,
    /,
    *,
    once: bool = False,
    url: Annotated[str | None, Parameter(env_var="RADAR_URL")] = None,
    key: Annotated[str | None, Parameter(env_var="RADAR_READ_KEY")] = None,
) -> None:
    """Show the live traffic of a project until interrupted.

    Parameters
    ----------
    project
        Id of the project.
    once
        Print the numbers once and exit. Always done if the output is not a terminal.
    url
        URL of a collector on another machine, e.g. https://collect.example. Default: read from this home.
    key
        Read key of the project, needed with --url.
    """
    from rich.live import Live

    console = out()
    once = once or not console.is_terminal
    read = _collector(url, key, project) if url else _home(project, once)
    counts = read()
    if once:
        console.print(picture(counts))
        return
    stop = StopSignals()
    with Live(picture(counts), console=console, auto_refresh=False, screen=True) as screen:
        while not stop.wait(REFRESH_S):
            problem = None
            try:
                counts = read()
            except (LiveError, OSError) as error:
                problem = str(error)
            screen.update(picture(counts, problem), refresh=True)


def _home(project: str, once: bool) -> "Callable[[], Counts]":
    """A reader of the landing zone of this home."""
    from radar_assets.access.projects import list_projects
    from radar_assets.cli.projects import open_projects
    from radar_assets.collector.live import Live, live_counts
    from radar_assets.config import WatchedDeclarations
    from radar_assets.settings import load_settings

    ids = [each.id for each in list_projects(open_projects())]
    if project not in ids:
        hint = (
            f"known projects: {', '.join(map(printable, ids[:10]))}"
            if ids
            else f"add it with {radar_command()} project add ID"
        )
        raise UsageError(f"unknown project {printable(project)}; {hint}")
    settings = load_settings()
    landing = settings.landing_zone
    declared = WatchedDeclarations(settings.config_file, required=settings.config is not None)
    zone = Live(landing, declared)
    return lambda: live_counts(landing, project, declared=declared()) if once else zone.read(project)


def _collector(url: str, key: str | None, project: str) -> "Callable[[], Counts]":
    """A reader that requests the numbers from a collector."""
    import urllib.error
    import urllib.parse
    import urllib.request

    import msgspec

    from radar_assets.collector.live import Counts

    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url {printable(url)}: not a URL; use e.g. https://collect.example")
    if not key:
        raise UsageError(
            "--url needs a read key in --key or RADAR_READ_KEY; "
            f"{radar_command()} key create {printable(project)} --kind read creates one"
        )
    address = f"{url.rstrip('/')}/v1/live?{urllib.parse.urlencode({'project': project})}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})

    def read() -> Counts:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return msgspec.json.decode(response.read(), type=Counts)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise LiveError(
                    f"{url} rejected the key; use a read key of the project {printable(project)}"
                ) from error
            raise LiveError(f"{url} responded with {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            raise LiveError(f"can't reach {url}: {getattr(error, 'reason', None) or error}") from error

    return read


def picture(counts: "Counts", problem: str | None = None) -> "RenderableType":
    """The numbers, rendered for the terminal.

    Args:
        problem: why they are out of date, if they are.
    """
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    events_by_minute = [minute.events for minute in counts.minutes]
    first, last = (f"{minute.at:%H:%M}" for minute in (counts.minutes[0], counts.minutes[-1]))
    head = Text.assemble((printable(counts.project), "bold"), f" at {counts.at:%H:%M:%S} UTC, last 5 minutes:")
    figures = Text("   ").join(
        Text.assemble((f"{number:,}", "bold green"), counted(number, what).removeprefix(f"{number:,}"))
        for number, what in (
            (counts.visitors, "visitor"),
            (counts.page_views, "page view"),
            (counts.events, "event"),
        )
    )
    chart = [Text("\nevents per minute", style="bold")]
    for index, line in enumerate(columns(events_by_minute)):
        chart.append(Text.assemble(f"{f'{max(events_by_minute):,}' if index == 0 else '':>9} ", (line, "cyan")))
    chart.append(Text(f"{'':9} {first}{'':{2 * len(events_by_minute) - 11}}{last}\n", style="dim"))
    pages = _table("top pages, 30 min", "views", [(page.page, page.page_views) for page in counts.top_pages])
    events = _table("top events, 30 min", "events", [(name.event, name.events) for name in counts.top_events])
    parts = [head, figures, *chart, Columns([pages, events], padding=(0, 4))]
    if counts.complete_since > counts.minutes[0].at:
        parts.append(
            Text(f"\nEvents before {counts.complete_since:%H:%M:%S} are counted only in part.", style="yellow")
        )
    if problem:
        parts.append(Text(f"\n{problem}", style="red"))
    return Group(*parts)


def _table(heading: str, unit: str, rows: list[tuple[str, int]]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(heading, max_width=40, no_wrap=True, overflow="ellipsis")
    table.add_column(unit, justify="right")
    for name, count in rows or [("none", 0)]:
        table.add_row(Text(printable(name)), f"{count:,}")
    return table
