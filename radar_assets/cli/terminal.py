"""Shared output of the commands: consoles, readable sizes and ages, and text made safe to print."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from cyclopts import Group

if TYPE_CHECKING:
    from rich.console import Console

OPTIONS = Group("Options", sort_key=6)
"""The group of options in the help of each command, below all others."""

# Control characters would control the terminal; bidirectional ones can make text look like other text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def out() -> "Console":
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> "Console":
    """The console for progress and notes, on standard error, so that results can be redirected to a file."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def printable(text: str) -> str:
    """Text with its control characters escaped."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def size(count: float) -> str:
    """A number of bytes in words, e.g. `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def age(span: timedelta) -> str:
    """A duration in its largest unit, e.g. `3 h`."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
