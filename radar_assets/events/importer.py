"""`radar import`: turns a file of another system into segments of the landing zone, by received hour.

Segments are named by a hash of their content, so importing a file again lands nothing twice. `import_formats.py` parses the formats;
the contract validates the lines.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from radar_assets.events.access_logs import AccessLog, read_apache
from radar_assets.events.import_formats import Batch, Fields, Importing, read_csv, read_ndjson
from radar_assets.events.import_sources import ImportFailedError, read_blocks, size_bytes
from radar_assets.events.landing import Landing, write_segment
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from radar_assets.lakehouse.engines.base import Engine

Format = Literal["ndjson", "csv", "apache"]

__all__ = ["AccessLog", "Format", "ImportFailedError", "ImportResult", "Progress", "import_file"]

# Old files have many small hours, and each waits for the disk, so several are written at once.
_WRITERS = 4


class Progress(NamedTuple):
    """Progress of an import.

    Attributes:
        read_bytes: bytes of the (compressed) file read so far; 0 for a pipe.
        total_bytes: size of the file; `None` for a pipe.
    """

    read_bytes: int
    total_bytes: int | None
    lines: int


class ImportResult(NamedTuple):
    """Result of an import.

    Attributes:
        lines: records of the file that landed, without blank lines: `events` plus `unreadable`.
        unreadable: records that are not events; they land unchanged, and the contract rejects them.
        segments: segments written.
        segments_there: segments that an earlier import of the file wrote.
        hours: received hours of all these segments, in order.
        projects: events by project; `None` counts those without one.
    """

    lines: int
    events: int
    unreadable: int
    segments: int
    segments_there: int
    hours: tuple[datetime, ...]
    projects: dict[str | None, int]


def import_file(
    path: Path,
    landing: Landing,
    *,
    engine: "Engine",
    format: Format,
    start: date,
    mapping: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    project: str | None = None,
    log: AccessLog | None = None,
    on_projects: Callable[[set[str]], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> ImportResult:
    """Land the events of a file, plain or compressed with gzip or zstd, of any size; `-` is the standard input.

    Args:
        format: `ndjson` (canonical events, unless fields are mapped or set), `csv` with a header, or `apache` (an access log in the
            common or combined format).
        start: first day of the platform. Lines received earlier land in its first hour, lines received in the future in the current
            hour; their own times don't change.
        mapping: field of the event (or `properties.<name>`, `context.<name>`) -> column of the file. Columns named like a field are
            mapped to it by default; others become properties. Without a column for `received_at`, it is the current time: importing
            the file again in a later hour then lands it again, as copies that `events` drops.
        constants: field -> value.
        project: shorthand for the constant `project_id`.
        log: how an access log is read.
        on_projects: called with new projects before their events land, once per project.
        on_progress: called after each batch.

    Raises:
        ImportFailedError: the file can't be read, or a column or a required field is missing. Lines that have landed stay; importing
            the file again adds the rest.
    """
    now, log = utc_now(), log or AccessLog()
    fields = Fields(mapping or {}, {**(constants or {}), **({"project_id": project} if project else {})})
    importing = Importing(engine, fields, now.isoformat(timespec="microseconds") + "Z")
    blocks = read_blocks(path)
    batches = {
        "ndjson": lambda: read_ndjson(blocks, importing),
        "csv": lambda: read_csv(blocks, importing),
        "apache": lambda: read_apache(blocks, importing, log),
    }[format]()
    arguments = json.dumps([format, dict(fields.columns), dict(fields.constants), *log], sort_keys=True)
    digest = hashlib.sha256(arguments.encode())
    hours = _ReceivedHours(datetime(start.year, start.month, start.day), now.replace(minute=0, second=0, microsecond=0))
    landed, total_bytes = _Landed(), size_bytes(path)

    def settle(batch: Batch, portions: list[tuple[datetime, memoryview]], written: Iterable[bool]) -> None:
        landed.add(batch, [hour for hour, _ in portions], list(written))
        if on_progress:
            on_progress(Progress(batch.read_bytes, total_bytes, landed.lines))

    met: set[str] = set()
    # A batch is written while the next one is read.
    writing = None
    with ThreadPoolExecutor(_WRITERS) as writers:
        for part, batch in enumerate(batches, start=1):
            digest.update(_content(batch.raw))
            name = f"import-{part:05}-{digest.hexdigest()[:20]}"

            def land(portion: tuple[datetime, memoryview], name: str = name) -> bool:
                hour, lines = portion
                try:
                    write_segment(landing, hour, name, [bytes(lines)])
                except FileExistsError:
                    return False
                return True

            portions = _by_hour(batch, hours.of(batch.rows))
            if on_projects and (new := _projects(batch) - met):
                on_projects(new)
                met |= new
            if writing:
                settle(*writing)
            writing = batch, portions, writers.map(land, portions)
        if writing:
            settle(*writing)
    return landed.result()


class _Landed:
    """Counts what has landed."""

    def __init__(self) -> None:
        self.lines = self._events = 0
        self._written: Counter[bool] = Counter()
        self._hours: set[datetime] = set()
        self._projects: Counter[str | None] = Counter()

    def add(self, batch: Batch, hours: list[datetime], written: list[bool]) -> None:
        """Add a batch, the hours of its segments, and whether each segment was new."""
        events = batch.rows.filter(batch.rows["is_event"])
        self.lines += batch.rows.num_rows
        self._events += events.num_rows
        self._written.update(written)
        self._hours.update(hours)
        for count in events["project_id"].value_counts().to_pylist():
            self._projects[count["values"]] += count["counts"]

    def result(self) -> ImportResult:
        """The totals."""
        return ImportResult(
            lines=self.lines,
            events=self._events,
            unreadable=self.lines - self._events,
            segments=self._written[True],
            segments_there=self._written[False],
            hours=tuple(sorted(self._hours)),
            projects=dict(self._projects.most_common()),
        )


class _ReceivedHours:
    """The hours in which the rows of batches land, between the earliest and the latest.

    A row without a received time lands in the hour of its neighbour, so that another import puts it there too.
    """

    def __init__(self, earliest: datetime, latest: datetime) -> None:
        self._earliest, self._latest = earliest, latest
        self._last: np.datetime64 | None = None

    def of(self, rows: "pa.Table") -> "np.ndarray":
        """Hours of the rows of the next batch."""
        import numpy as np

        hours = rows["received_at"].to_numpy().astype("datetime64[h]")
        dated = np.flatnonzero(~np.isnat(hours))
        if self._last is None:
            self._last = hours[dated[0]] if len(dated) else np.datetime64(self._latest, "h")
        hours = np.concatenate([[self._last], hours])
        latest_told = np.maximum.accumulate(np.where(np.isnat(hours), 0, np.arange(len(hours))))
        hours = hours[latest_told][1:]
        self._last = hours[-1]
        return np.clip(hours, np.datetime64(self._earliest, "h"), np.datetime64(self._latest, "h"))


def _projects(batch: Batch) -> set[str]:
    named = batch.rows.filter(batch.rows["is_event"])["project_id"].unique().to_pylist()
    return {name for name in named if name is not None}


def _by_hour(batch: Batch, hours: "np.ndarray") -> list[tuple[datetime, memoryview]]:
    """Group the lines of a batch by hour, in order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lines = batch.rows["line"].combine_chunks().cast(pa.large_binary())
    if lines.null_count == len(lines):
        lines = batch.raw
    elif lines.null_count:
        lines = pc.call_function("coalesce", [lines, batch.raw])
    if (hours[1:] < hours[:-1]).any():
        order = np.argsort(hours, kind="stable")
        lines, hours = lines.take(pa.array(order)), hours[order]
    starts = [0, *(np.flatnonzero(hours[1:] != hours[:-1]) + 1), len(hours)]
    return [(hours[start].item(), _content(lines.slice(start, end - start))) for start, end in pairwise(starts)]


def _content(lines: "pa.LargeBinaryArray") -> memoryview:
    """The bytes of consecutive lines."""
    import numpy as np

    _, offsets, data = lines.buffers()
    start, end = np.frombuffer(offsets, np.int64)[[lines.offset, lines.offset + len(lines)]]
    return memoryview(data)[start:end]
