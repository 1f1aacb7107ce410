"""What the commands share in writing to the terminal: the consoles, figures in words, and data made safe to print."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from cyclopts import Group

if TYPE_CHECKING:
    from rich.console import Console

OPTIONS = Group("Options", sort_key=5)
"""Where the help of every command lists its options: below everything else."""

# Control characters would drive the terminal, and bidirectional ones let a text look like another.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def out() -> "Console":
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> "Console":
    """The console for progress and remarks, which leaves the results alone when those go into a file."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def printable(text: str) -> str:
    """Text from the data with its control characters written out."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def size(count: float) -> str:
    """A number of bytes, such as `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def age(span: timedelta) -> str:
    """A span of time in its largest unit, such as `3 h`."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
