"""The command line `radar`: its commands, in the order of the help, and how errors are printed.

Each command is a function in a module of its own. These modules import heavy libraries inside their functions, so that
`radar --help` is fast.
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
from radar_assets.cli.audit import audit_app
from radar_assets.cli.backfill import backfill
from radar_assets.cli.backup import backup, restore
from radar_assets.cli.channels import channels_app
from radar_assets.cli.collect import collect
from radar_assets.cli.completion import install_completion, show_completion
from radar_assets.cli.demo import demo
from radar_assets.cli.dev import dev
from radar_assets.cli.diff import diff
from radar_assets.cli.doctor import doctor
from radar_assets.cli.health import health
from radar_assets.cli.help import HelpFormatter
from radar_assets.cli.imports import import_
from radar_assets.cli.init import init
from radar_assets.cli.inspect import inspect
from radar_assets.cli.keys import key_app
from radar_assets.cli.live import live
from radar_assets.cli.maintain import maintain
from radar_assets.cli.metrics import metrics_app
from radar_assets.cli.projects import project_app
from radar_assets.cli.replay import replay_rejected
from radar_assets.cli.rules import rules_app
from radar_assets.cli.schema import schema
from radar_assets.cli.serve import serve, serve_ui
from radar_assets.cli.simulate import simulate
from radar_assets.cli.snapshots import snapshots_app
from radar_assets.cli.sql import sql
from radar_assets.cli.status import status
from radar_assets.cli.suppressions import suppressions_app
from radar_assets.cli.terminal import OPTIONS, err, is_terminal, print_words
from radar_assets.cli.tokens import token_app
from radar_assets.cli.upgrade import upgrade
from radar_assets.cli.users import user_app
from radar_assets.cli.watch import watch
from radar_assets.errors import UsageError
from radar_assets.permissions import keep_private

START = Group("Start", sort_key=1)
EVENTS = Group("Events", sort_key=2)
INSPECT = Group("Inspect", sort_key=3)
CONFIGURATION = Group("Configuration and alerts", sort_key=4)
OPERATIONS = Group("Operations", sort_key=5)


def _shown_default(value: object) -> str | None:
    """The default shown in the help; None for those that mean "not given"."""
    return None if value is False or value in (None, "", ()) else str(value)


app = App(
    name="radar",
    help="Product analytics as a Dagster asset graph. Configured by RADAR_* environment variables; radar doctor shows them.",
    version=lambda: metadata.version("radar-assets"),
    help_formatter=HelpFormatter(),
    help_format="plaintext",  # Markdown doubles the time of --help
    group_parameters=OPTIONS,
    default_parameter=Parameter(negative="", show_default=_shown_default),
)
app["--help"].group = app["--version"].group = OPTIONS
app.command(install_completion, name="--install-completion", group=OPTIONS, sort_key=1)
app.command(show_completion, name="--show-completion", group=OPTIONS, sort_key=2)
for group, commands in {
    START: [demo, dev, serve],
    EVENTS: [collect, import_, simulate, replay_rejected],
    INSPECT: [live, sql, inspect, diff, status, health, doctor],
    CONFIGURATION: [init, apply, schema, watch],
    OPERATIONS: [backfill, upgrade, maintain, backup, restore],
}.items():
    for position, command in enumerate(commands):
        app.command(command, group=group, sort_key=position)
app.command(serve_ui, show=False)
for group_of_commands, group in (
    (project_app, EVENTS),
    (key_app, EVENTS),
    (snapshots_app, INSPECT),
    (metrics_app, CONFIGURATION),
    (rules_app, CONFIGURATION),
    (channels_app, CONFIGURATION),
    (alerts_app, CONFIGURATION),
    (deliveries_app, CONFIGURATION),
    (suppressions_app, CONFIGURATION),
    (user_app, OPERATIONS),
    (token_app, OPERATIONS),
    (audit_app, OPERATIONS),
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
        Print the full traceback on errors.
    """
    # Dagster warns about every beta or preview feature in use, which users of Radar can't act on.
    warnings.filterwarnings("ignore", module="dagster")
    if debug:
        return app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0
    try:
        return app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0
    except BrokenPipeError:
        # The reader has closed the pipe, as head does. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _report(error)


def main(tokens: Sequence[str] | None = None) -> None:
    """Run a command and exit with 0 on success, 1 on failure, or 2 for invalid arguments, settings or `radar.yaml`."""
    keep_private()
    try:
        code = app.meta(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        code = _report(error)
    sys.exit(code)


def _report(error: Exception) -> int:
    """Print the error on one line, without its traceback. Returns the exit code."""
    is_usage_error = isinstance(error, CycloptsError | UsageError)
    module = type(error).__module__.partition(".")[0]
    is_known = (
        is_usage_error or isinstance(error, OSError | ValueError) or module in ("radar_assets", "duckdb", "_duckdb")
    )
    text = str(error).strip() or type(error).__name__
    shown = f"radar: {text if is_known else f'{type(error).__name__}: {text}'}"
    if is_terminal(sys.stderr):
        print_words(err(), shown)
    else:
        print(shown, file=sys.stderr)
    if not is_known:
        print("radar: run with --debug to see the traceback", file=sys.stderr)
    return 2 if is_usage_error else 1
