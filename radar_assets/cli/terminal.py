"""Shared output of the commands: consoles, progress bars, readable sizes and ages, and text made safe to print."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from textwrap import wrap
from typing import TYPE_CHECKING, TextIO

from cyclopts import Group

from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

OPTIONS = Group("Options", sort_key=6)
"""The group of options in the help of each command, below all others."""

# Control characters would control the terminal; bidirectional ones can make text look like other text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_ANSWERS = {"y": True, "yes": True, "n": False, "no": False, "": False}


def radar_command() -> str:
    """How to start Radar in this terminal, for printed commands: `uv run` sets up an environment that the shell doesn't have."""
    return "uv run radar" if "UV_RUN_RECURSION_DEPTH" in os.environ else "radar"


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is read by a person rather than by a program."""
    return stream.isatty()


def out() -> "Console":
    """The console for results. Lines are wrapped only in a terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not is_terminal(sys.stdout))


def err() -> "Console":
    """The console for progress and notes, on standard error, so that results can be redirected to a file."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not is_terminal(sys.stderr))


@contextmanager
def progress_bars(*columns: "ProgressColumn") -> "Iterator[Progress]":
    """Progress bars on standard error, if that is a terminal.

    They appear when the caller starts them, which should be after the first step succeeded: then an early error stands alone.
    """
    from rich.progress import Progress

    progress = Progress(*columns, console=err(), disable=not is_terminal(sys.stderr))
    try:
        yield progress
    finally:
        if progress.live.is_started:
            progress.stop()


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print labelled values below each other. Values are made printable, and go on below themselves where they are long."""
    from rich.text import Text

    shown = [(printable(label), printable(value)) for label, value in facts]
    width = max((len(label) for label, _ in shown), default=0)
    if not is_terminal(sys.stdout):
        for label, value in shown:
            print(f"{label:{width}}  {value}")
        return
    console = out()
    for label, value in shown:
        for index, line in enumerate(_wrapped(value, console.width - width - 2)):
            console.print(Text.assemble((f"{'' if index else label:{width}}  ", "bold"), line), soft_wrap=True)


def print_words(console: "Console", text: str, mark: str = "", style: str = "") -> None:
    """Print a text that a terminal shows wrapped between words.

    Args:
        mark: a word before it, in a style.
    """
    from rich.text import Text

    text = f"{mark} {text}" if mark else text
    for index, line in enumerate([text] if console.soft_wrap else _wrapped(text, console.width)):
        first = 0 if index else len(mark)
        console.print(Text.assemble((line[:first], style), line[first:]), soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text. Words are not broken, so that names stay readable and URLs stay links."""
    lines = text.splitlines() or [""]
    return [
        part
        for line in lines
        for part in wrap(line, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]
    ]


def printable(text: str) -> str:
    """Text with its control characters escaped."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class NotConfirmedError(UsageError):
    """A question needs an answer, and there is no terminal to ask in."""


def is_interactive() -> bool:
    """Whether a person can read a question and answer it."""
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)


def is_confirmed(question: str, without_terminal: str = "there is no terminal to ask in; pass --yes") -> bool:
    """Ask a question. Returns whether the answer is yes.

    It is asked again until the answer is y, n or empty, which means no: what follows in the clipboard is not an answer.

    Args:
        without_terminal: what to say if there is no terminal.

    Raises:
        NotConfirmedError: there is no terminal.
    """
    if not is_interactive():
        raise NotConfirmedError(without_terminal)
    try:
        while (answer := input(f"{question} [y/N] ").strip().lower()) not in _ANSWERS:
            print("Please answer y or n.")
    except EOFError:
        return False
    return _ANSWERS[answer]


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things, e.g. `1 visitor` or `1,200 visitors`.

    Args:
        many: the plural, unless it is `one` with an s.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


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
