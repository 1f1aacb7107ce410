"""The audit log: who did what, on what, when, from where, and with which result. Entries are only ever added, in a chain of hashes.

`verify` finds entries that were changed, removed, inserted or reordered. A writer with full access to the database can still forge a
whole new chain; comparing the head with a copy kept elsewhere shows that.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.access.audit_details import audit_details
from radar_assets.access.key_files import read_key
from radar_assets.access.roles import Principal
from radar_assets.store.database import Store
from radar_assets.store.dialects import lock
from radar_assets.store.models import AuditCheckpoint, AuditEntry, AuditHead
from radar_assets.windows import utc_now

LOCK_KEY = 0x4155444954
"""Postgres advisory lock for adding entries: AUDIT in ASCII."""
MAX_TEXT = 1000
"""Characters of each text of an entry, so that requests can't fill the database."""
MAX_DETAILS = 20_000
PAGE = 1000
_FIELDS = tuple(column.key for column in sa.inspect(AuditEntry).column_attrs if column.key != "hash")


class AuditError(Exception):
    """Entries can't expire, because the log has a fault."""


def record(
    target: Session | Store,
    principal: Principal,
    action: str,
    object: str,
    *,
    project_id: str | None = None,
    address: str | None = None,
    result: str = "ok",
    details: Mapping[str, Any] | None = None,
) -> int:
    """Add an entry. Returns its number.

    Args:
        target: a session, to add it in the transaction of the action itself; other entries wait until that ends. Or the store.
        action: what was done, such as `user.add`.
        object: on what, such as the name of the user.
        address: where the request came from.
        details: values as JSON. Secrets are masked, and long parts are cut.
    """
    with target.session() if isinstance(target, Store) else nullcontext(target) as session:
        lock(session, LOCK_KEY)
        head = session.execute(sa.select(AuditHead.number, AuditHead.hash).where(AuditHead.id == 1)).one_or_none()
        entry: dict[str, Any] = {
            "number": head.number + 1 if head else 1,
            # After the lock was taken, so that times are in the order of numbers.
            "at": utc_now(),
            "principal_kind": principal.kind,
            "principal_id": _text(principal.id),
            "principal_name": _text(principal.name),
            "action": _text(action),
            "object": _text(object),
            "project_id": None if project_id is None else _text(project_id),
            "address": None if address is None else _text(address),
            "result": _text(result),
            "details": _details(details or {}),
            "previous": head.hash if head else "",
        }
        entry["hash"] = _hash(entry)
        session.execute(sa.insert(AuditEntry).values(entry))
        latest = {"number": entry["number"], "hash": entry["hash"]}
        if head:
            session.execute(sa.update(AuditHead).where(AuditHead.id == 1).values(latest))
        else:
            session.execute(sa.insert(AuditHead).values(id=1, **latest))
        return entry["number"]


def list_entries(
    store: Store, *, limit: int = 100, before: int | None = None, project_id: str | None = None
) -> list[AuditEntry]:
    """The latest entries, the latest first.

    Args:
        before: only entries with a lower number.
        project_id: only entries of this project.
    """
    query = sa.select(AuditEntry).order_by(AuditEntry.number.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEntry.number < before)
    if project_id is not None:
        query = query.where(AuditEntry.project_id == project_id)
    with store.session(read_only=True) as session:
        return list(session.scalars(query))


def head(store: Store) -> tuple[int, str]:
    """Number and hash of the last entry, so that a copy can be kept elsewhere; 0 and an empty hash if there is none."""
    with store.session(read_only=True) as session:
        row = session.execute(sa.select(AuditHead.number, AuditHead.hash)).one_or_none()
    return (row.number, row.hash) if row else (0, "")


def verify(store: Store, key: bytes | None = None) -> str | None:
    """The first fault of the log, in words; None if it is intact.

    Args:
        key: that signs checkpoints. None: their signatures are not checked.
    """
    with store.session(read_only=True) as session:
        if session.get_bind().dialect.name == "postgresql":
            # All queries see the log as of the same moment.
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return _first_fault(session, key)


def expire(store: Store, older_than: datetime, key: bytes) -> int:
    """Delete entries from before a time and leave a signed checkpoint. Returns how many were deleted.

    Args:
        older_than: naive, UTC.
        key: signs the checkpoint.

    Raises:
        AuditError: the log has a fault, which deleting its entries would hide.
    """
    with store.session() as session:
        lock(session, LOCK_KEY)
        if fault := _first_fault(session, key):
            raise AuditError(f"{fault}; nothing was deleted")
        # Up to the first entry to keep: clocks may have been set back, and a gap would look like tampering.
        kept = session.scalar(sa.select(sa.func.min(AuditEntry.number)).where(AuditEntry.at >= older_than))
        old = sa.select(AuditEntry.number, AuditEntry.hash).order_by(AuditEntry.number.desc()).limit(1)
        last = session.execute(old if kept is None else old.where(AuditEntry.number < kept)).one_or_none()
        if last is None:
            return 0
        newest = sa.select(AuditCheckpoint.signature).order_by(AuditCheckpoint.number.desc()).limit(1)
        checkpoint = AuditCheckpoint(number=last.number, hash=last.hash, at=utc_now())
        checkpoint.previous = session.scalar(newest) or ""
        checkpoint.signature = _signature(checkpoint, key)
        deleted = session.scalar(
            sa.select(sa.func.count()).select_from(AuditEntry).where(AuditEntry.number <= last.number)
        )
        session.execute(sa.delete(AuditEntry).where(AuditEntry.number <= last.number))
        session.add(checkpoint)
        return deleted or 0


def signing_key(home: Path) -> bytes:
    """The key that signs checkpoints, created at first use."""
    return bytes.fromhex(read_key(home, "audit"))


def _first_fault(session: Session, key: bytes | None) -> str | None:
    number, previous, signature = 0, "", ""
    for checkpoint in session.scalars(sa.select(AuditCheckpoint).order_by(AuditCheckpoint.number)):
        if checkpoint.previous != signature:
            return f"the checkpoint before that of entry {checkpoint.number} is missing"
        if key is not None and not hmac.compare_digest(checkpoint.signature, _signature(checkpoint, key)):
            return f"the checkpoint of entry {checkpoint.number} has an invalid signature"
        number, previous, signature = checkpoint.number, checkpoint.hash, checkpoint.signature
    columns = [getattr(AuditEntry, field) for field in (*_FIELDS, "hash")]
    query = sa.select(*columns).order_by(AuditEntry.number).execution_options(yield_per=PAGE)
    for row in session.execute(query).mappings():
        if row["number"] <= number:
            return f"entry {row['number']} should have expired, or was inserted"
        if row["number"] != number + 1:
            return f"entry {number + 1} is missing"
        if row["hash"] != _hash(row):
            return f"entry {row['number']} was changed"
        if row["previous"] != previous:
            return f"entry {row['number']} doesn't follow entry {number}: one of them was replaced"
        number, previous = row["number"], row["hash"]
    head = session.execute(sa.select(AuditHead.number, AuditHead.hash)).one_or_none()
    if head is None:
        return "the head of the log is missing" if number else None
    if head.number > number:
        return f"entry {number + 1} is missing at the end"
    if head.number < number:
        return f"entry {head.number + 1} was inserted at the end"
    return None if head.hash == previous else f"entry {number} is not the one that was recorded"


def _hash(entry: Mapping[Any, Any]) -> str:
    values = {field: entry[field] for field in _FIELDS}
    values["at"] = values["at"].isoformat(timespec="microseconds")
    return hashlib.sha256(_canonical(values).encode()).hexdigest()


def _signature(checkpoint: AuditCheckpoint, key: bytes) -> str:
    at = checkpoint.at.isoformat(timespec="microseconds")
    signed = _canonical([checkpoint.number, checkpoint.hash, at, checkpoint.previous])
    return hmac.new(key, signed.encode(), "sha256").hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _text(text: str) -> str:
    """A text that every database keeps unchanged: Postgres has no NUL, and UTF-8 no half of a surrogate pair."""
    kept = text.replace("\0", "\\0").encode(errors="backslashreplace").decode()
    return kept if len(kept) <= MAX_TEXT else f"{kept[: MAX_TEXT - 1]}…"


def _details(details: Mapping[str, Any]) -> str:
    text = _canonical(audit_details(details))
    return text if len(text) <= MAX_DETAILS else _canonical({"too_long": True, "characters": len(text)})
