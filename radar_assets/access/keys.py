"""Keys: create, rotate, revoke and look up. A write key identifies the project of events; a read key gives access to live numbers.

A key is shown once and stored as a hash. Limits are in `limits.py`.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from radar_assets.access.time_zones import read_calendar
from radar_assets.calendar import Calendar
from radar_assets.origins import Origin, parse_origin
from radar_assets.store.database import Store
from radar_assets.store.models import ApiKey, FieldError, Project
from radar_assets.windows import utc_now

Kind = Literal["write", "read"]

FRESH_S = 2.0
"""How often keys and projects are read: a revoked key stops working within this time."""
PAUSE_S = 0.2
"""Minimum time between two reads. Requests with unknown keys, which may be new, wait for the next read together."""
OVERLAP = timedelta(hours=24)
"""How long a rotated key stays valid by default."""
_CHOSEN = re.compile(r"[A-Za-z0-9._~:/@+=-]{1,200}")


class KeysError(Exception):
    """A key can't be checked because the store is unavailable."""


def key_problem(key: str | None, kind: Kind) -> str:
    """Why a request without a valid key is refused, and what to do.

    Args:
        key: as sent; empty or None if there was none.
    """
    create = f"create one with radar key create PROJECT{' --kind read' if kind == 'read' else ''}"
    if not key:
        return f"No key in the request. Send Authorization: Bearer <key>; {create}"
    return f"The {kind} key is unknown or revoked. radar key list lists the keys; {create}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key gives access to.

    Attributes:
        origins: the web origins that may use it, `None` for an invalid one; empty for any sender.
        events_per_second: the project's own limit, `None` for that of the settings; likewise `events_per_month`.
    """

    project_id: str
    kind: str
    origins: frozenset[Origin | None]
    events_per_second: int | None
    events_per_month: int | None

    def admits(self, origin: Origin | None) -> bool:
        """Whether a request with this web origin, or without one, may use the key."""
        return not self.origins or (origin is not None and origin in self.origins)


class KeyRing:
    """All valid keys of the store, and the days of their projects. For one event loop.

    They are read together every two seconds, so that requests don't wait for queries, and known keys keep working while the store is
    unavailable.

    Attributes:
        calendar: the days of all projects, as last read.
        failure: why the last read failed; `None` if it didn't.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._grants: Mapping[str, Grant] = {}
        self.calendar = Calendar({})
        self._began_at = float("-inf")
        self._reading = asyncio.Lock()
        self.failure: str | None = "keys have not been read yet"

    async def keep_fresh(self) -> None:
        """Read the keys periodically until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(FRESH_S)

    async def refresh(self) -> None:
        """Read the keys; on failure, keep the known ones."""
        asked_at = time.monotonic()
        async with self._reading:
            if self._began_at >= asked_at:
                return
            await asyncio.sleep(max(0.0, self._began_at + PAUSE_S - time.monotonic()))
            self._began_at = time.monotonic()
            try:
                grants = await asyncio.to_thread(read_grants, self._store)
                # Afterwards, so that it has the projects of all keys.
                self.calendar = await asyncio.to_thread(read_calendar, self._store)
                self._grants, self.failure = grants, None
            # Any error: if the task ended, revoked keys would keep working unnoticed.
            except Exception as error:
                self.failure = f"keys can't be read ({type(error).__name__})"

    def known(self, key: str) -> Grant | None:
        """The grant of a key of any kind, if it was valid when the keys were last read."""
        return self._grants.get(hash_key(key))

    async def find(self, key: str, kind: Kind) -> Grant | None:
        """The grant of a key; `None` if it is unknown, revoked or of another kind.

        Raises:
            KeysError: it is unknown, and the store is unavailable.
        """
        grant = self.known(key)
        if grant is None:
            await self.refresh()
            grant = self.known(key)
            if grant is None and self.failure:
                raise KeysError(self.failure)
        return grant if grant and grant.kind == kind else None


def hash_key(key: str) -> str:
    """The hash under which a key is stored. Created keys are random, so a slow hash would add nothing."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def read_grants(store: Store) -> dict[str, Grant]:
    """The grants of all keys by hash, except revoked and expired keys and those of inactive projects."""
    query = (
        sa.select(ApiKey, Project)
        .join(Project, ApiKey.project_id == Project.id)
        .where(ApiKey.revoked_at.is_(None), Project.is_active)
        .where(sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > utc_now()))
    )
    with store.session(read_only=True) as session:
        return {
            key.hash: Grant(
                key.project_id,
                key.kind,
                # Older keys have origins that are not normalised. An invalid one stays: without any origin, the key would admit all.
                frozenset(parse_origin(origin) for origin in key.origins),
                project.events_per_second,
                project.events_per_month,
            )
            for key, project in session.execute(query)
        }


def create_key(
    store: Store, project_id: str, kind: Kind = "write", *, value: str | None = None, origins: Iterable[str] = ()
) -> str:
    """Create a key for a project and return it. It can't be read again later.

    Args:
        value: the key itself, for protocols whose senders use a public id, such as the domain of a Plausible site.
        origins: the web origins that may use it, such as `https://shop.example`; none for any sender.

    Raises:
        FieldError: the project is unknown, the key exists, or the value or an origin is invalid.
    """
    key = f"{kind}_{secrets.token_hex(16)}" if value is None else value
    if not _CHOSEN.fullmatch(key):
        raise FieldError("key value", key, "must be 1 to 200 letters, digits and ._~:/@+=-")
    allowed = sorted({_origin(origin) for origin in origins})
    with store.session() as session:
        if session.get(Project, project_id) is None:
            raise FieldError("project id", project_id, "is unknown; create it with radar project add")
        same = session.scalar(sa.select(ApiKey).where(ApiKey.hash == hash_key(key)))
        if same and _is_valid(same, utc_now()):
            raise FieldError("key value", key, "is already in use; choose another one, or revoke that key first")
        if same:
            session.delete(same)
            session.flush()
        session.add(
            ApiKey(
                id=secrets.token_hex(4),
                project_id=project_id,
                kind=kind,
                hash=hash_key(key),
                origins=allowed,
                created_at=utc_now(),
            )
        )
    return key


def revoke_key(store: Store, id_or_key: str) -> ApiKey:
    """Revoke a key.

    Raises:
        FieldError: no valid key has this id or value.
    """
    with store.session() as session:
        matches = sa.or_(ApiKey.id == id_or_key, ApiKey.hash == hash_key(id_or_key))
        key = session.scalar(sa.select(ApiKey).where(matches, ApiKey.revoked_at.is_(None)))
        if key is None:
            raise FieldError("key", id_or_key[:8], "is not the id of a valid key; radar key list shows them")
        key.revoked_at = utc_now()
        return key


def rotate_key(store: Store, id_or_key: str, overlap: timedelta = OVERLAP) -> tuple[str, ApiKey]:
    """Create the successor of a key, of the same kind and for the same origins. The old one stays valid for the overlap.

    Returns:
        The new key, which can't be read again later, and the old one.

    Raises:
        FieldError: no valid key has this id or value, or it was rotated already.
    """
    now = utc_now()
    with store.session() as session:
        matches = sa.or_(ApiKey.id == id_or_key, ApiKey.hash == hash_key(id_or_key))
        old = session.scalar(sa.select(ApiKey).where(matches).with_for_update())
        if old is None or not _is_valid(old, now):
            raise FieldError("key", id_or_key[:8], "is not the id of a valid key; radar key list shows them")
        if old.expires_at is not None:
            raise FieldError("key", id_or_key[:8], "was rotated already; rotate its successor, or revoke it")
        old.expires_at = now + overlap
        key = f"{old.kind}_{secrets.token_hex(16)}"
        new = ApiKey(id=secrets.token_hex(4), project_id=old.project_id, kind=old.kind, hash=hash_key(key))
        new.origins, new.created_at = list(old.origins), now
        session.add(new)
        return key, old


def _is_valid(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


def list_keys(store: Store) -> list[ApiKey]:
    """All keys, by project and age."""
    with store.session(read_only=True) as session:
        return sorted(session.scalars(sa.select(ApiKey)), key=lambda key: (key.project_id, key.created_at, key.id))


def _origin(text: str) -> str:
    if origin := parse_origin(text):
        return str(origin)
    problem = "is not a web origin, which is a scheme, a host and possibly a port, such as https://shop.example"
    if "*" in text:
        problem = "has a wildcard, which is not supported; name each origin with an --origin of its own"
    elif not text.isascii():
        problem = (
            "is not written as browsers send it; write its host in Punycode, such as https://xn--bcher-kva.example"
        )
    raise FieldError("origin", text, problem)
