"""Finds rows of other hours that share an event id or an order id, because copies and repeated orders may have any event time.

Whether a row found by its order id is a copy depends on the rows with its event id, so these are found, too. Ids are looked up by hash
in an index of `raw_events`, with a file in the home's cache for each received hour, and for each past day. It is derived from data
files, which never change, so it can be deleted at any time.
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
from radar_assets.lakehouse.files import FileRef, NewFile, PartitionKey, from_unit, to_unit, unit_range
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
CONTENT = (
    "row(type, event, anonymous_id, user_id, session_id, sent_at, category, protocol, properties, context, warnings)"
)
"""What decides the order of rows with one id, event time, sequence and time of receipt, before the segment does, so that the result
doesn't depend on how lines were split into segments."""
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
        Column("event_key", "long", "If `key` is that of an order: the key of the event."),
    ),
    partition_by=(("received_hour", "hour"),),
    key=(),
)


_IN_REACH = """(
    others.received_hour between own.received_hour - to_days($dedupe_days) and own.received_hour + to_days($dedupe_days)
    or others.event_hour between own.event_hour - interval 1 hour and own.event_hour + interval 1 hour
)"""
"""Whether `others` were received at about the same time as `own`, or happened at most an hour away."""

_answered: dict[tuple[Any, ...], "pa.Table"] = {}
"""The last answer of `related_keys`: the checks of a run ask what its build has asked."""


def dedupe_days(lakehouse: Lakehouse) -> int:
    """The setting `RADAR_DEDUPE_DAYS` of a lakehouse's home."""
    settings = lakehouse.settings
    return (settings if isinstance(settings, EventSettings) else EventSettings.load(home=settings.home)).dedupe_days


def related_keys(lakehouse: Lakehouse, raw_events: Snapshot, windows: Sequence[Window]) -> "pa.Table":
    """The hashes of ids that rows inside and outside of windows of event hours have in common, with the hours of the rows outside.

    Of these rows, those count that were received within `RADAR_DEDUPE_DAYS` of a row inside, or happened at most an hour away from it.
    If the id in common is that of an order, the rows around it with the same event id count, too. `event_key` is null for rows that
    share an event id with a row inside.
    """
    import pyarrow as pa

    question = (lakehouse.settings.home, dedupe_days(lakehouse), raw_events.snapshot_id, *windows)
    if (keys := _answered.get(question)) is not None:
        return keys
    hours = {hour for window in windows for hour in range(*unit_range(RAW_EVENTS, window, 1))}
    wanted = pa.table({"event_hour": pa.array([from_unit(hour, "hour") for hour in sorted(hours)], pa.timestamp("us"))})
    inside = [ref.partition for ref in raw_events.files(None, _span(hours)) if ref.rows and ref.partition[1] in hours]
    keys = _look_up(lakehouse, "related_keys", _index(lakehouse, raw_events, inside), wanted=wanted)
    orders = keys.filter(keys["event_key"].is_valid())
    if orders.num_rows:
        index = _index(lakehouse, raw_events, _partitions(orders))
        copies = _look_up(lakehouse, "related_copies", index, wanted=wanted, orders=orders)
        keys = pa.concat_tables([keys, copies])
    _answered.clear()
    _answered[question] = keys
    return keys


def related_rows(lakehouse: Lakehouse, raw_events: Snapshot, windows: Sequence[Window]) -> "pa.Table | Files":
    """The rows outside of windows of event hours that bear on rows inside; see `related_keys`."""
    keys = related_keys(lakehouse, raw_events, windows)
    if not keys.num_rows:
        return Files(RAW_EVENTS, [])
    partitions = _partitions(keys)
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
    import pyarrow as pa

    accepted = [file for file in changed if file.rows and file.partition[1] is not None]
    index = _index(lakehouse, raw_events, {file.partition for file in accepted})
    if not index:
        return frozenset()
    paths = [file.path if isinstance(file, NewFile) else file.local_path for file in accepted]
    changed_rows = Files(RAW_EVENTS, paths, raw_events.evolved)
    with lakehouse.engine.staged(_with_keys("event_keys"), {"raw_events": changed_rows}, {}) as changed_keys:
        hours = _look_up(lakehouse, "affected_hours", index, changed_keys=changed_keys)
        if any(hours["has_copies"].to_pylist()):
            orders = _look_up(lakehouse, "affected_orders", index, changed_keys=changed_keys)
            if orders.num_rows:
                index = _index(lakehouse, raw_events, _partitions(orders))
                hours = pa.concat_tables([hours, _look_up(lakehouse, "affected_hours", index, changed_keys=orders)])
    found = frozenset(to_unit(hour, "hour") for hour in hours["event_hour"].to_pylist())
    return found.difference(file.partition[1] for file in accepted)


def _with_keys(model: str) -> SqlModel:
    """A model that computes keys of rows."""
    texts = ", ".join(f"trim(properties ->> '$.{path}')" for path in ORDER_IDS)
    unusable = ", ".join(f"'{text}'" for text in NO_ORDERS)
    return load_model(LAYER, model).with_fragments(
        content=CONTENT,
        event_key="cast(hash(project_id, event_id) >> 1 as bigint)",
        may_have_order="(contains(properties, 'rder') or contains(properties, 'ransaction'))",
        order_keys=f"list_transform(list_filter(list_distinct([{texts}]), lambda id: lower(id) not in ({unusable})), "
        "lambda id: cast(hash(project_id, 'order', id) >> 1 as bigint))",
    )


def _look_up(lakehouse: Lakehouse, model: str, index: Sequence[str], **relations: Any) -> "pa.Table":
    """Run a model over files of the index, as `event_keys`, and other relations."""
    return lakehouse.engine.query(
        load_model(LAYER, model).with_fragments(is_in_reach=_IN_REACH),
        {"event_keys": Files(EVENT_KEYS, index), **relations},
        {"dedupe_days": dedupe_days(lakehouse)},
    )


def _index(lakehouse: Lakehouse, raw_events: Snapshot, partitions: Collection[PartitionKey]) -> list[str]:
    """The files of the index that cover what was received around partitions of `raw_events`, and what happened next to them."""
    if not partitions:
        return []
    reach = dedupe_days(lakehouse) * HOURS_A_DAY
    received = {hour for hour, _ in partitions if hour is not None}
    around = {unit for hour in received for unit in range(hour - reach, hour + reach + 1)}
    beside = {hour + step for _, hour in partitions if hour is not None for step in (-1, 0, 1)}
    near = (ref for ref in raw_events.files(None, _span(beside)) if ref.rows and ref.partition[1] in beside)
    around |= {ref.partition[0] for ref in near if ref.partition[0] is not None}
    return _files_of_index(lakehouse, raw_events, around)


def _partitions(keys: "pa.Table") -> set[tuple[int, int]]:
    """The partitions of `raw_events` that rows of the index are about."""
    return {
        (to_unit(row["received_hour"], "hour"), to_unit(row["event_hour"], "hour"))
        for row in keys.group_by(["received_hour", "event_hour"]).aggregate([]).to_pylist()
    }


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
