"""`radar rules`: lists the rules in effect, and tests rules on past data."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, err, out, printable

if TYPE_CHECKING:
    from datetime import timedelta

    from radar_assets.alerts.findings import Breach

rules_app = App(name="rules", help="List alert rules, and test one on past data.", group_parameters=OPTIONS)

MAX_WINDOWS = 2000
"""Windows per evaluation, which bounds how much is read at once."""


class UnknownRuleError(Exception):
    """The file has no such rule, or it can't be tested on past data."""


@rules_app.command(name="list")
def list_rules() -> None:
    """List the rules in effect."""
    from rich.table import Table
    from rich.text import Text

    from radar_assets.alerts.check_page import summary
    from radar_assets.alerts.checks import asset_of
    from radar_assets.alerts.rules import load_rules
    from radar_assets.config import load_metrics
    from radar_assets.metrics.registry import registry
    from radar_assets.settings import load_settings

    settings = load_settings()
    metrics = {metric.name: metric for metric in registry(load_metrics(settings.config_file))}
    table = Table("name", "holds while", "severity", "check on", "channels", show_edge=False)
    table.columns[0].no_wrap = True
    for rule in load_rules(open_projects()):
        name = rule.name if rule.enabled else f"{rule.name} (off)"
        words = Text(printable(summary(rule, metrics)))
        table.add_row(name, words, rule.severity, asset_of(rule), Text(printable(", ".join(rule.channels))))
    out().print(table if table.row_count else "No rules yet; declare them in radar.yaml and run radar apply.")


@rules_app.command
def test(
    name: str,
    /,
    *,
    since: str = "30d",
    file: Annotated[Path | None, Parameter(name=("--file", "-f"))] = None,
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
    """
    from rich.table import Table
    from rich.text import Text

    from radar_assets.alerts.evaluation import evaluate, settling_time
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
    breaches: list[Breach] = []
    windows = unsettled = 0
    first = begin = EPOCH + (now - length - EPOCH) // rule.step * rule.step
    while begin < now:
        # Parts start where windows start, so that each window is evaluated in one part, with the windows it depends on.
        end = min(now, begin + MAX_WINDOWS * rule.step)
        (judgement,) = evaluate(
            lakehouse, [rule], registry(config.metrics), Window(begin, end), min(now, end + settling_time(lakehouse))
        )
        inside = {window.start for window in judgement.asked if begin <= window.start < end}
        breaches += [breach for breach in judgement.findings.breaches if breach.window.start in inside]
        windows += len(inside)
        unsettled += sum(window.start in inside for window in judgement.unsettled)
        begin = end
    table = Table("project", "from", "to", "value", "threshold", "usual", show_edge=False)
    episodes = episodes_of(breaches, rule.step)
    for episode in episodes:
        worst = max(episode, key=lambda breach: abs((breach.value or 0) - breach.threshold))
        usual = "" if worst.usual is None else f"{worst.usual[0]:g} to {worst.usual[1]:g}"
        change = f" ({100 * ((worst.value or 0) / worst.baseline - 1):+.0f} %)" if worst.baseline else ""
        table.add_row(
            Text(printable(worst.project_id)),
            f"{episode[0].since:%Y-%m-%d %H:%M}",
            f"{episode[-1].window.end:%Y-%m-%d %H:%M}",
            f"{worst.value or 0:g}{change}",
            f"{worst.threshold:g}",
            usual,
        )
    console = out()
    if episodes:
        console.print(table)
    times = "once" if len(episodes) == 1 else f"{len(episodes)} times"
    fired = f"It would have fired {times}" if episodes else "It would not have fired"
    console.print(f"{fired} in {windows:,} windows since {first:%Y-%m-%d %H:%M} UTC.")
    if missing := missing_note(lakehouse, registry(config.metrics), rule, Window(first, now)):
        err().print(missing, soft_wrap=True)
    if unsettled:
        err().print(f"{unsettled} windows were not evaluated: landed events are not loaded yet; see radar status.")


def episodes_of(breaches: "Iterable[Breach]", step: "timedelta") -> "list[list[Breach]]":
    """Breaches grouped by project and consecutive windows, ordered by their start."""
    episodes: list[list[Breach]] = []
    for breach in sorted(breaches, key=lambda breach: (breach.project_id, breach.window)):
        last = episodes[-1][-1] if episodes else None
        if last and last.project_id == breach.project_id and breach.window.start - last.window.start == step:
            episodes[-1].append(breach)
        else:
            episodes.append([breach])
    return sorted(episodes, key=lambda episode: (episode[0].window, episode[0].project_id))
