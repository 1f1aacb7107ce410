"""The command line `radar`: its commands in the order of its help, and how an error reaches the person at the terminal.

Each command is a function in a module of its own. Those modules import what is heavy inside their functions, so that
`radar --help` answers at once.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter

from radar_assets.cli.alerts import alerts_app, deliveries_app
from radar_assets.cli.apply import apply
from radar_assets.cli.channels import channels_app
from radar_assets.cli.collect import collect
from radar_assets.cli.demo import demo
from radar_assets.cli.dev import dev
from radar_assets.cli.doctor import doctor
from radar_assets.cli.imports import import_
from radar_assets.cli.keys import key_app
from radar_assets.cli.live import live
from radar_assets.cli.projects import project_app
from radar_assets.cli.replay import replay_rejected
from radar_assets.cli.rules import rules_app
from radar_assets.cli.serve import serve, serve_ui
from radar_assets.cli.simulate import simulate
from radar_assets.cli.sql import sql
from radar_assets.cli.status import status
from radar_assets.cli.terminal import OPTIONS
from radar_assets.cli.watch import watch
from radar_assets.permissions import keep_private

START = Group("Start", sort_key=1)
EVENTS = Group("Events", sort_key=2)
LOOK = Group("Look", sort_key=3)
ALERTS = Group("Alerts", sort_key=4)


def _shown_default(value: object) -> str | None:
    """What the help says of a default: nothing where it is that nothing was asked for."""
    return None if value is False or value in (None, "", ()) else str(value)


app = App(
    name="radar",
    help="Product analytics as a Dagster asset graph. RADAR_* variables set it up, and radar doctor shows them.",
    version=lambda: metadata.version("radar-assets"),
    help_format="plaintext",  # Markdown would double the time that --help takes
    group_parameters=OPTIONS,
    default_parameter=Parameter(negative="", show_default=_shown_default),
)
app["--help"].group = app["--version"].group = OPTIONS
for group, commands in {
    START: [demo, dev, serve],
    EVENTS: [collect, import_, simulate, replay_rejected],
    LOOK: [live, sql, status, doctor],
    ALERTS: [apply, watch],
}.items():
    for place, command in enumerate(commands):
        app.command(command, group=group, sort_key=place)
app.command(serve_ui, show=False)
for group_of_commands, group in (
    (project_app, EVENTS),
    (key_app, EVENTS),
    (rules_app, ALERTS),
    (channels_app, ALERTS),
    (alerts_app, ALERTS),
    (deliveries_app, ALERTS),
):
    app.command(group_of_commands)
    group_of_commands.group = group


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(env_var="RADAR_DEBUG")] = False,
) -> int:
    """Run a command.

    Parameters
    ----------
    debug
        Show the whole traceback of an error.
    """
    # That much of Dagster is still called beta or preview says nothing to who uses Radar.
    warnings.filterwarnings("ignore", module="dagster")
    if debug:
        return app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0
    try:
        return app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0
    except BrokenPipeError:
        # Whoever read the output has had enough of it. What is still buffered must not fail once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _report(error)


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name, and exit: 0 done, 1 failed, 2 asked for in a wrong way."""
    keep_private()
    try:
        code = app.meta(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        code = _report(error)
    sys.exit(code)


def _report(error: Exception) -> int:
    """Tell of an error in a line, without its traceback; what the process exits with."""
    from radar_assets.settings import SettingsError

    wrong_use = isinstance(error, CycloptsError | SettingsError)
    module = type(error).__module__.partition(".")[0]
    known = wrong_use or isinstance(error, OSError | ValueError) or module in ("radar_assets", "duckdb", "_duckdb")
    text = str(error).strip() or type(error).__name__
    print(f"radar: {text if known else f'{type(error).__name__}: {text}'}", file=sys.stderr)
    if not known:
        print("radar: --debug shows where it came from", file=sys.stderr)
    return 2 if wrong_use else 1
