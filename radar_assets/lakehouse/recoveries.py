"""Recoveries: when a table fell back to an earlier state because its files were damaged, and which commits that lost.

They are a property of the Iceberg table, so that every process sees them.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

from radar_assets.windows import utc_now

PROPERTY = "radar.recoveries"


class DamagedTableError(Exception):
    """Files of a table are missing, empty or truncated; the message names the table and the damage."""


class DamagedFilesError(DamagedTableError):
    """Only data files are damaged; the table's metadata is sound."""


@dataclass(frozen=True)
class Recovery:
    """A change of a table's head that was not a commit.

    Attributes:
        at: when, in UTC, as ISO 8601 with milliseconds. It identifies the recovery.
        reason: what was damaged.
        first, last: the sequence numbers that were lost, and are not used again. `last` is smaller if none were.
    """

    at: str
    reason: str
    first: int = 1
    last: int = 0


@contextmanager
def damage_of(what: str) -> Iterator[None]:
    """Turn errors of reading a damaged file into `DamagedTableError`. Others, such as too many open files, are not damage."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedTableError(f"{what} is missing") from error
    except (DamagedTableError, OSError, MemoryError):
        raise
    except Exception as error:
        raise DamagedTableError(f"{what} can't be read ({type(error).__name__})") from error


def encode(recoveries: Iterable[Recovery]) -> str:
    """Recoveries as text."""
    return json.dumps([astuple(recovery) for recovery in recoveries])


def decode(text: str) -> tuple[Recovery, ...]:
    """Recoveries from text, in order."""
    return tuple(Recovery(*fields) for fields in json.loads(text))


def now_text() -> str:
    """The current time as in `Recovery.at`."""
    return utc_now().isoformat(timespec="milliseconds")
