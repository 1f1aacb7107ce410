"""How the help is printed."""

import sys
from typing import TYPE_CHECKING, Any

from radar_assets.cli.terminal import is_terminal

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions


class HelpFormatter:
    """The default format, but without frames in pipes, and with --debug last; cyclopts puts it before a command's own options.

    It delegates rather than inherits, so that only the help imports its libraries.
    """

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """Print a group of commands or options."""
        from cyclopts.help import DefaultFormatter, PanelSpec
        from rich.box import ROUNDED, Box

        panel.entries.sort(key=lambda entry: "--debug" in entry.names)
        frame = ROUNDED if is_terminal(sys.stdout) else Box("    \n" * 8)
        DefaultFormatter(panel_spec=PanelSpec(box=frame))(console, options, panel)

    def render_usage(self, console: "Console", options: "ConsoleOptions", usage: Any) -> None:
        """Print the line that starts with Usage."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)
