"""`radar rules`: lists the rules in effect, and tests rules on past data."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from radar_assets.cli.arguments import Span
from radar_assets.cli.listing import Column, Format, print_list, readable
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, err, out, radar_command
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from radar_assets.alerts.findings import Breach
    from radar_assets.alerts.rules import Rule
    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.windows import Window

rules_app = App(name="rules", help="List alert rules, and test one on past data.", group_parameters=OPTIONS)

MAX_WINDOWS = 2000
"""Windows per evaluation, which bounds how much is read at once."""


_RULE_DATA = ("enabled", "kind", "watch", "metric", "window", "operator", "threshold", "description")
"""Fields of a rule that only CSV and JSON have."""

_EPISODE = [
    Column("project_id", heading="project"),
    Column("from"),
    Column("to"),
    Column("value"),
    Column("change_pct", heading="change", cell=lambda change: "" if change is None else f"{change:+,.0f} %", rank=2),
    Column("threshold", rank=1),
    Column("usual", only="table", rank=3),
    Column("usual_low", only="data"),
    Column("usual_high", only="data"),
]


class UnknownRuleError(UsageError):
    """The file has no such rule, or it can't be tested on past data."""


@rules_app.command(name="list")
def list_rules(*, format: Format = "table") -> None:
    """List the rules in effect.

    Parameters
    ----------
    format
        Output format.
    """
    from radar_assets.alerts.checks import asset_of
    from radar_assets.alerts.rules import load_rules
    from radar_assets.alerts.wording import condition
    from radar_assets.cli.channels import how_to_declare
    from radar_assets.config import load_metrics
    from radar_assets.metrics.registry import registry
    from radar_assets.settings import load_settings

    settings = load_settings()
    metrics = {metric.name: metric for metric in registry(load_metrics(settings.config_file))}
    columns = [
        Column("title", heading="name", only="table"),
        Column("name", only="data"),
        Column("summary", heading="fires when"),
        Column("severity", rank=1),
        Column("asset", heading="check on", rank=3),
        Column("channels", rank=2),
        *(Column(field, only="data") for field in _RULE_DATA),
    ]
    rows = (
        (
            rule.name if rule.enabled else f"{rule.name} (off)",
            rule.name,
            condition(rule, metrics),
            rule.severity,
            asset_of(rule),
            rule.channels,
            *(getattr(rule, field) for field in _RULE_DATA),
        )
        for rule in load_rules(open_projects())
    )
    print_list(columns, rows, format, empty=f"No rules yet; {how_to_declare()}.")


@rules_app.command
def test(
    name: str,
    /,
    *,
    since: Span = "30d",
    file: Annotated[Path | None, Parameter(name=("--file", "-f"))] = None,
    format: Format = "table",
) -> None:
    """Show when a rule in radar.yaml would have fired in the past. Nothing is written or sent.

    Parameters
    ----------
    name
        Name of the rule.
    since
        How far to look back, e.g. 12h or 30d.
    file
        Path of the file. Default: RADAR_CONFIG, else radar.yaml in the home.
    format
        Output format.
    """
    from radar_assets.access.projects import list_projects
    from radar_assets.alerts.evaluation import evaluate
    from radar_assets.alerts.rules import parse_span
    from radar_assets.cli.metrics import missing_note
    from radar_assets.config import load_config
    from radar_assets.lakehouse.files import EPOCH
    from radar_assets.metrics.registry import registry
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse
    from radar_assets.windows import Window, utc_now

    length = parse_span(since)
    settings = load_settings().prepare()
    path = file or settings.config_file
    config = load_config(path, required=True, allowed_hosts=settings.allowed_hosts)
    rule = next((rule for rule in config.rules if rule.name == name), None)
    if rule is None:
        names = ", ".join(rule.name for rule in config.rules) or "none"
        raise UnknownRuleError(f"{path}: unknown rule {name}; known rules: {names}")
    if rule.watch:
        raise UnknownRuleError(f"{name} watches Radar itself, which has no past data to test on")
    lakehouse, now = open_lakehouse(settings), utc_now()
    zones = {project.id: project.timezone for project in list_projects(open_projects())}
    breaches: list[Breach] = []
    judged: set[tuple[str, datetime]] = set()
    windows = unsettled = 0
    first = EPOCH + (now - length - EPOCH) // rule.step * rule.step
    for part, until in _parts(lakehouse, rule, first, now):
        (judgement,) = evaluate(lakehouse, [rule], registry(config.metrics), part, until, zones=zones)
        inside = {window.start for window in judgement.asked if part.start <= window.start < part.end}
        judged |= {
            (project, window.start) for (project, _), windows in judgement.findings.judged.items() for window in windows
        }
        breaches += [breach for breach in judgement.findings.breaches if breach.window.start in inside]
        windows += len(inside)
        unsettled += sum(window.start in inside for window in judgement.unsettled)
    episodes = episodes_of(breaches, judged, rule.step)
    if episodes or format != "table":
        print_list(_EPISODE, map(_row, episodes), format)
    times = "once" if len(episodes) == 1 else f"{len(episodes)} times"
    fired = f"It would have fired {times}" if episodes else "It would not have fired"
    summary = out() if format == "table" else err()
    since_when = f"{first:%Y-%m-%d}" if rule.window == "1d" else f"{first:%Y-%m-%d %H:%M} UTC"
    summary.print(f"{fired} in {windows:,} windows since {since_when}.")
    if missing := missing_note(lakehouse, registry(config.metrics), rule, Window(first, now)):
        err().print(missing, soft_wrap=True)
    if unsettled:
        err().print(
            f"{unsettled} windows were not evaluated: landed events are not loaded yet; see {radar_command()} status."
        )


def _parts(
    lakehouse: "Lakehouse", rule: "Rule", first: "datetime", now: "datetime"
) -> "Iterator[tuple[Window, datetime]]":
    """Spans to evaluate one after the other, each with the time as of which to do so.

    They start where windows start, so that each window is evaluated in one part, with the windows it depends on.
    """
    from radar_assets.alerts.evaluation import latest_windows
    from radar_assets.alerts.settling import settling_time
    from radar_assets.windows import Window

    # Days are dates, which end at another time in each time zone.
    is_daily = rule.window == "1d"
    last = latest_windows("1d", now, calendar=lakehouse.calendar()).end if is_daily else now
    begin = first
    while begin < last:
        end = min(last, begin + MAX_WINDOWS * rule.step)
        yield Window(begin, end), now if is_daily else min(now, end + settling_time(lakehouse))
        begin = end


def _row(episode: "list[Breach]") -> tuple[object, ...]:
    """The values of `_EPISODE`: those of the window that is furthest from the threshold."""
    worst = max(episode, key=lambda breach: abs((breach.value or 0) - breach.threshold))
    low, high = worst.usual or (None, None)
    change = 100 * ((worst.value or 0) / worst.baseline - 1) if worst.baseline else None
    usual = "" if low is None else f"{readable(low)} to {readable(high)}"
    span = episode[0].since, episode[-1].window.end
    return worst.project_id, *span, worst.value or 0, change, worst.threshold, usual, low, high


def episodes_of(
    breaches: "Iterable[Breach]", judged: "Collection[tuple[str, datetime]]", step: "timedelta"
) -> "list[list[Breach]]":
    """Breaches grouped by project and by windows without one in between that kept the rule, ordered by their start.

    Args:
        judged: projects and starts of the windows that had enough data.
    """
    from radar_assets.alerts.episodes import MAX_GAP

    episodes: list[list[Breach]] = []
    for breach in sorted(breaches, key=lambda breach: (breach.project_id, breach.window)):
        last = episodes[-1][-1] if episodes else None
        windows_apart = (breach.window.start - last.window.start) // step if last else 0
        if (
            last
            and last.project_id == breach.project_id
            and breach.window.start - last.window.end <= MAX_GAP
            and not any((last.project_id, last.window.start + n * step) in judged for n in range(1, windows_apart))
        ):
            episodes[-1].append(breach)
        else:
            episodes.append([breach])
    return sorted(episodes, key=lambda episode: (episode[0].window, episode[0].project_id))
