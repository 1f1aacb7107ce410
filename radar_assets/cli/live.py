"""`radar live`: what happens in a project right now, from the landing zone of this home or from a collector elsewhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from radar_assets.cli.chart import columns
from radar_assets.cli.signals import StopSignals
from radar_assets.cli.terminal import out, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from radar_assets.collector.live import Counts

PAUSE_S = 1.0
TIMEOUT_S = 10


class LiveError(Exception):
    """The numbers can't be had; the message says why and what to do."""


def live(
    project: str,
    /,
    *,
    once: bool = False,
    url: Annotated[str | None, Parameter(env_var="RADAR_URL")] = None,
    key: Annotated[str | None, Parameter(env_var="RADAR_READ_KEY")] = None,
) -> None:
    """Show what happens in a project right now, until it is interrupted.

    Parameters
    ----------
    project
        Id of the project.
    once
        Print the numbers once, as is done anyway where the output is no terminal.
    url
        Address of a collector on another machine, such as https://collect.example; by default this home is looked at.
    key
        A read key of the project, which that collector asks for.
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
        while not stop.wait(PAUSE_S):
            problem = None
            try:
                counts = read()
            except (LiveError, OSError) as error:
                problem = str(error)
            screen.update(picture(counts, problem), refresh=True)


def _home(project: str, once: bool) -> "Callable[[], Counts]":
    """Reads the landing zone of this home."""
    from radar_assets.cli.projects import open_projects
    from radar_assets.collector.live import Live, live_counts
    from radar_assets.settings import load_settings

    ids = [known.id for known in open_projects().projects()]
    if project not in ids:
        known = ", ".join(map(printable, ids[:10])) or "none yet; radar project add ID makes one"
        raise LiveError(f"there is no project {printable(project)}; the projects here: {known}")
    landing = load_settings().landing_zone
    zone = Live(landing)
    return lambda: live_counts(landing, project) if once else zone.read(project)


def _collector(url: str, key: str | None, project: str) -> "Callable[[], Counts]":
    """Asks a collector."""
    import urllib.error
    import urllib.parse
    import urllib.request

    import msgspec

    from radar_assets.collector.live import Counts

    if not url.startswith(("http://", "https://")):
        raise LiveError(f"--url {printable(url)} is no address of a collector; write it as https://collect.example")
    if not key:
        raise LiveError(
            f"a collector asks for a read key: --key or RADAR_READ_KEY (radar key create {printable(project)} --kind read)"
        )
    address = f"{url.rstrip('/')}/v1/live?{urllib.parse.urlencode({'project': project})}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})

    def read() -> Counts:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return msgspec.json.decode(answer.read(), type=Counts)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise LiveError(
                    f"{url} refuses the key; it takes a read key of the project {printable(project)}"
                ) from error
            raise LiveError(f"{url} answers {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            raise LiveError(f"{url} can't be asked: {getattr(error, 'reason', None) or error}") from error

    return read


def picture(counts: "Counts", problem: str | None = None) -> "RenderableType":
    """The numbers as they are shown.

    Args:
        problem: why they are not those of now.
    """
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    seen = [minute.events for minute in counts.minutes]
    first, last = (f"{minute.at:%H:%M}" for minute in (counts.minutes[0], counts.minutes[-1]))
    head = Text.assemble((printable(counts.project), "bold"), f" at {counts.at:%H:%M:%S} UTC, in the last 5 minutes:")
    figures = Text("   ").join(
        Text.assemble((f"{number:,}", "bold green"), f" {what}")
        for number, what in (
            (counts.visitors, "visitors"),
            (counts.page_views, "page views"),
            (counts.events, "events"),
        )
    )
    chart = [Text("\nevents a minute", style="bold")]
    for place, line in enumerate(columns(seen)):
        chart.append(Text.assemble(f"{f'{max(seen):,}' if place == 0 else '':>9} ", (line, "cyan")))
    chart.append(Text(f"{'':9} {first}{'':{2 * len(seen) - 11}}{last}\n", style="dim"))
    pages = _table("top pages of 30 min", "views", [(page.page, page.page_views) for page in counts.top_pages])
    events = _table("top events of 30 min", "events", [(name.event, name.events) for name in counts.top_events])
    parts = [head, figures, *chart, Columns([pages, events], padding=(0, 4))]
    if counts.complete_since > counts.minutes[0].at:
        parts.append(
            Text(f"\nNot all of the events before {counts.complete_since:%H:%M:%S} are counted.", style="yellow")
        )
    if problem:
        parts.append(Text(f"\n{problem}", style="red"))
    return Group(*parts)


def _table(heading: str, unit: str, rows: list[tuple[str, int]]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False)
    table.add_column(heading, max_width=40, no_wrap=True, overflow="ellipsis")
    table.add_column(unit, justify="right")
    for name, count in rows or [("none", 0)]:
        table.add_row(Text(printable(name)), f"{count:,}")
    return table
