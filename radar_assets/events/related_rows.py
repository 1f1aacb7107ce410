"""Finds rows of other hours that share an event id or an order id, because copies and repeated orders may have any event time.

Ids are looked up by hash in an index of `raw_events`: a file in the home's cache for each received hour, and for each past day. It is
derived from data files, which never change, so it can be deleted at any time.
"""

import hashlib
import time
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radar_assets.durability import sync_file
from radar_assets.events.orders import ORDER_IDS, PLACEHOLDERS
from radar_assets.events.settings import EventSettings
from radar_assets.events.tables import RAW_EVENTS
from radar_assets.lakehouse.files import FileRef, NewFile, from_unit, to_unit, unit_range
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel, load_model
from radar_assets.lakehouse.table import Column, Table
from radar_assets.windows import HOUR, Window, contiguous, utc_now

if TYPE_CHECKING:
    import pyarrow as pa

LAYER = "radar_assets.events"
HOURS_A_DAY = 24
SUPERSEDED_AFTER_S = 900
"""How long the index keeps a file after a newer one of the same hour: longer than a statement that reads it."""
KEYS_PREFIX = "event-keys-"
"""Start of the names of the index's files in the home's cache."""

NO_ORDERS = ("", *PLACEHOLDERS)
"""Texts that stand for no id, in lower case. Rows that have one in common have nothing in common."""

EVENT_KEYS = Table(
    name="event_keys",
    description="Hashes of the ids of accepted lines. Not a table of the catalog, but an index of one.",
    columns=(
        Column("key", "long", "Hash of the project and an event id, or of the project and an order id."),
        Column("received_hour", "timestamp", "As in `raw_events`."),
        Column("arrival_hour", "timestamp", "Hour of `received_at`."),
        Column("event_hour", "timestamp", "Hour of `event_time`."),
    ),
    partition_by=(("received_hour", "hour"),),
    key=(),
)


_answered: dict[tuple[Any, ...], "pa.Table"] = {}
"""The last answer of `related_keys`: the checks of a run ask what its build has asked."""


def dedupe_days(lakehouse: Lakehouse) -> int:
    """The setting `RADAR_DEDUPE_DAYS` of a lakehouse's home."""
    settings = lakehouse.settings
    return (settings if isinstance(settings, EventSettings) else EventSettings.load(home=settings.home)).dedupe_days


def related_keys(lakehouse: Lakehouse, raw_events: Snapshot, windows: Sequence[Window]) -> "pa.Table":
    """The hashes of ids that rows inside and outside of windows of event hours have in common, with the hours of the rows outside.

    Of these rows, those count that were received within `RADAR_DEDUPE_DAYS` of a row inside, or happened at most an hour away from it.
    """
    import pyarrow as pa

    question = (lakehouse.settings.home, dedupe_days(lakehouse), raw_events.snapshot_id, *windows)
    if question in _answered:
        return _answered[question]
    hours = {hour for window in windows for hour in range(*unit_range(RAW_EVENTS, window, 1))}
    index = _index(lakehouse, raw_events, hours, ())
    wanted = pa.table({"event_hour": pa.array([from_unit(hour, "hour") for hour in sorted(hours)], pa.timestamp("us"))})
    keys = lakehouse.engine.query(
        load_model(LAYER, "related_keys"),
        {"event_keys": Files(EVENT_KEYS, index), "wanted": wanted},
        {"dedupe_days": dedupe_days(lakehouse)},
    )
    _answered.clear()
    _answered[question] = keys
    return keys


def related_rows(lakehouse: Lakehouse, raw_events: Snapshot, windows: Sequence[Window]) -> "pa.Table | Files":
    """The rows outside of windows of event hours that have ids in common with rows inside; see `related_keys`."""
    keys = related_keys(lakehouse, raw_events, windows)
    if not keys.num_rows:
        return Files(RAW_EVENTS, [])
    partitions = {
        (to_unit(row["received_hour"], "hour"), to_unit(row["event_hour"], "hour"))
        for row in keys.group_by(["received_hour", "event_hour"]).aggregate([]).to_pylist()
    }
    spans = [_span({partition[place] for partition in partitions}) for place in (0, 1)]
    paths = [ref.local_path for ref in raw_events.files(*spans) if ref.rows and ref.partition in partitions]
    return lakehouse.engine.query(
        _with_keys("related_rows"),
        {"raw_events": Files(RAW_EVENTS, paths, raw_events.evolved), "related_keys": keys.select(["key"])},
    )


def affected_hours(lakehouse: Lakehouse, raw_events: Snapshot, changed: Sequence[NewFile | FileRef]) -> frozenset[int]:
    """The other event hours, in hours since 1970, with rows that count or don't because of changed rows.

    Args:
        raw_events: the state that the files are added to or removed from.
    """
    accepted = [file for file in changed if file.rows and file.partition[1] is not None]
    hours = {file.partition[1] for file in accepted if file.partition[1] is not None}
    received = {file.partition[0] for file in accepted if file.partition[0] is not None}
    index = _index(lakehouse, raw_events, hours, received)
    if not index:
        return frozenset()
    paths = [file.path if isinstance(file, NewFile) else file.local_path for file in accepted]
    changed_rows = Files(RAW_EVENTS, paths, raw_events.evolved)
    with lakehouse.engine.staged(_with_keys("event_keys"), {"raw_events": changed_rows}, {}) as changed_keys:
        found = lakehouse.engine.query(
            load_model(LAYER, "affected_hours"),
            {"event_keys": Files(EVENT_KEYS, index), "changed_keys": changed_keys},
            {"dedupe_days": dedupe_days(lakehouse)},
        )
    return frozenset(to_unit(hour, "hour") for hour in found["hour"].to_pylist())


def _with_keys(model: str) -> SqlModel:
    """A model that computes keys of rows."""
    texts = ", ".join(f"trim(properties ->> '$.{path}')" for path in ORDER_IDS)
    unusable = ", ".join(f"'{text}'" for text in NO_ORDERS)
    return load_model(LAYER, model).with_fragments(
        event_key="cast(hash(project_id, event_id) >> 1 as bigint)",
        may_have_order="(contains(properties, 'rder') or contains(properties, 'ransaction'))",
        order_keys=f"list_transform(list_filter(list_distinct([{texts}]), lambda id: lower(id) not in ({unusable})), "
        "lambda id: cast(hash(project_id, 'order', id) >> 1 as bigint))",
    )


def _index(lakehouse: Lakehouse, raw_events: Snapshot, hours: Collection[int], received: Collection[int]) -> list[str]:
    """The files of the index that cover event hours, what was received around them, and what happened next to them.

    Args:
        hours: event hours, since 1970.
        received: hours in which further rows of these were received.

    Returns:
        Paths; none if no row can be related.
    """
    if not hours:
        return []
    beside = {hour + step for hour in hours for step in (-1, 0, 1)}
    near = [ref for ref in raw_events.files(None, _span(beside)) if ref.rows and ref.partition[1] in beside]
    own = {ref.partition[0] for ref in near if ref.partition[1] in hours} | set(received)
    reach = dedupe_days(lakehouse) * HOURS_A_DAY
    around = {unit for hour in own if hour is not None for unit in range(hour - reach, hour + reach + 1)}
    around |= {ref.partition[0] for ref in near if ref.partition[0] is not None}
    return _files_of_index(lakehouse, raw_events, around)


def _files_of_index(lakehouse: Lakehouse, raw_events: Snapshot, hours: Collection[int]) -> list[str]:
    """The files of the index for received hours, made as far as they are missing."""
    today = to_unit(Window.of_day(utc_now().date()).start, "hour")
    starts = {_start(hour, today) for hour in hours}
    covered = {hour for start in starts for hour in range(start, start + (HOURS_A_DAY if start < today else 1))}
    parts: dict[int, list[FileRef]] = {}
    for window in contiguous((from_unit(hour, "hour") for hour in covered), HOUR, len(covered)):
        for ref in raw_events.files(window):
            if ref.rows and ref.partition[0] is not None and ref.partition[1] is not None:
                parts.setdefault(_start(ref.partition[0], today), []).append(ref)
    return [str(_file_of_index(lakehouse, raw_events, start, refs)) for start, refs in sorted(parts.items())]


def _start(hour: int, today: int) -> int:
    """First hour of the file that covers a received hour: past days have one file each."""
    return hour if hour >= today else hour // HOURS_A_DAY * HOURS_A_DAY


def _file_of_index(lakehouse: Lakehouse, raw_events: Snapshot, start: int, refs: Sequence[FileRef]) -> Path:
    """The file of the index that covers these data files. It continues an earlier one that covers some of them, if there is one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = _with_keys("event_keys")
    paths = {hashlib.sha256(ref.path.encode()).hexdigest()[:16]: ref.local_path for ref in refs}
    made_by = hashlib.sha256(f"{lakehouse.engine.version} {model.sql}".encode()).hexdigest()[:16]
    content = hashlib.sha256(" ".join([made_by, *sorted(paths)]).encode()).hexdigest()[:20]
    folder = lakehouse.settings.home / "cache"
    stem = f"{KEYS_PREFIX}{from_unit(start, 'hour'):%Y-%m-%dT%H}"
    file = folder / f"{stem}-{content}.parquet"
    if file.exists():
        return file
    earlier, covered = None, frozenset[str]()
    for candidate in folder.glob(f"{stem}-*.parquet"):
        with suppress(OSError, pa.ArrowInvalid):  # another process removes superseded files
            metadata = pq.read_schema(candidate).metadata
            files = frozenset(metadata[b"files"].decode().split())
            if metadata[b"made_by"].decode() == made_by and covered < files <= paths.keys():
                earlier, covered = pq.read_table(candidate), files
    rest = [path for name, path in paths.items() if name not in covered]
    rows = lakehouse.engine.query(model, {"raw_events": Files(RAW_EVENTS, rest, raw_events.evolved)})
    rows = rows if earlier is None else pa.concat_tables([earlier.replace_schema_metadata(), rows])
    fresh = file.with_suffix(f".{uuid.uuid4().hex}")
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows.replace_schema_metadata({"made_by": made_by, "files": " ".join(sorted(paths))})
    repeating: Any = ["received_hour", "arrival_hour", "event_hour"]
    pq.write_table(rows, fresh, use_dictionary=repeating)
    # After a power cut, the name would otherwise be on disk without the content.
    sync_file(fresh)
    fresh.replace(file)
    _remove_superseded(folder)
    return file


def _remove_superseded(folder: Path) -> None:
    """Remove the files of the index that a newer one of the same hours replaced a while ago."""
    files: list[tuple[Path, str, float]] = []
    for file in folder.glob(f"{KEYS_PREFIX}*"):
        with suppress(FileNotFoundError):
            files.append((file, file.name.rpartition("-")[0], file.stat().st_mtime))
    for file, stem, modified in files:
        replaced = min((at for _, other, at in files if other == stem and at > modified), default=None)
        if replaced is not None and replaced < time.time() - SUPERSEDED_AFTER_S:
            file.unlink(missing_ok=True)


def _span(units: Collection[int]) -> Window:
    """The window from the first of these hours to the last."""
    return Window(from_unit(min(units), "hour"), from_unit(max(units) + 1, "hour"))
