"""The command line: every command with its arguments and options."""

import re

from radar_assets.cli import app


def cli_reference() -> str:
    """Every command with its arguments and options."""
    text = app.generate_docs(heading_level=1)
    # The groups of the help replace the table of contents.
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Start\*\*)", "", text, flags=re.DOTALL)
    text = text.partition("\n\n")[2]
    head, marker, commands = text.partition("\n## ")
    # An option that all commands share is listed only at the top.
    commands = re.sub(r"^\* `--debug`: .*\n", "", commands, flags=re.MULTILINE)
    commands = re.sub(r"\*\*Options\*\*:\n\n(?=\n|#|\Z)", "", commands)
    commands = re.sub(r", --empty-[\w-]+", "", commands)
    return re.sub(r"\n{3,}", "\n\n", f"{head}{marker}{commands}").strip()
