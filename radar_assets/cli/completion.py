"""Completion of commands and options in the shell."""

from typing import Literal

from radar_assets.cli.terminal import out
from radar_assets.errors import UsageError

Shell = Literal["bash", "zsh", "fish"]


def install_completion(shell: Shell | None = None, /) -> None:
    """Install completion for a shell, and load it in its startup file.

    Parameters
    ----------
    shell
        Default: the shell that runs this command.
    """
    from radar_assets.cli import app

    path = app.install_completion(shell=shell or _current_shell())
    out().print(f"Wrote {path}. Start a new shell to use it.", markup=False)


def show_completion(shell: Shell | None = None, /) -> None:
    """Print the completion script of a shell.

    Parameters
    ----------
    shell
        Default: the shell that runs this command.
    """
    from radar_assets.cli import app

    print(app.generate_completion(shell=shell or _current_shell()))


def _current_shell() -> Shell:
    from cyclopts.completion import ShellDetectionError, detect_shell

    try:
        shell = detect_shell()
    except ShellDetectionError:
        shell = None
    if shell not in ("bash", "zsh", "fish"):
        raise UsageError("can't detect the shell; name it: bash, zsh or fish")
    return shell
