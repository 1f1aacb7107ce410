"""One run for each Idempotency-Key, whatever is sent at the same time or killed in between.

The id of the run is stored with the key before the run exists. Then one process claims the key, launches that run and notes it. After
a crash, a retry claims the key and launches the same run, or finds that it exists.
"""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from radar_assets.orchestration.runtime.process_identity import ProcessIdentity
from radar_assets.store.database import Store
from radar_assets.store.models import IdempotencyKey
from radar_assets.windows import utc_now

KEPT = timedelta(days=30)
CLAIM_EXPIRES = timedelta(minutes=1)
"""When a claim of a process on another machine, which may be gone, counts no more."""
POLL_S = 0.1
PATIENCE_S = 60


class KeyReusedError(Exception):
    """The key was used for another request."""


class StillLaunchingError(Exception):
    """Another process has been launching the run for long."""


@dataclass(frozen=True)
class Keys:
    """The keys of a principal."""

    store: Store
    principal_id: str

    async def launch_once(self, key: str, fingerprint: str, launch: Callable[[str], object]) -> tuple[str, bool]:
        """Launch a run unless the key has one. Returns its id, and whether this call has launched it.

        Args:
            fingerprint: hash of the request.
            launch: launches the run of an id; for one that exists it does nothing.

        Raises:
            KeyReusedError: the key was used for another request.
            StillLaunchingError: another process doesn't get it done.
        """
        run_id = await asyncio.to_thread(self._stored, key, fingerprint)
        for _ in range(round(PATIENCE_S / POLL_S)):
            state = await asyncio.to_thread(self._claimed, key)
            if state == "launched":
                return run_id, False
            if state == "claimed":
                await asyncio.to_thread(self._launched, key, run_id, launch)
                return run_id, True
            await asyncio.sleep(POLL_S)
        raise StillLaunchingError

    def _stored(self, key: str, fingerprint: str) -> str:
        """The id of the key's run, which is chosen by the first request."""
        try:
            with self.store.session() as session:
                row = session.get(IdempotencyKey, (self.principal_id, key))
                if row is None:
                    old = IdempotencyKey.created_at < utc_now() - KEPT
                    session.execute(sa.delete(IdempotencyKey).where(old))
                    row = IdempotencyKey(principal_id=self.principal_id, key=key, fingerprint=fingerprint)
                    row.run_id, row.created_at = str(uuid.uuid4()), utc_now()
                    session.add(row)
        except IntegrityError:  # another process has just stored it
            with self.store.session(read_only=True) as session:
                row = session.get_one(IdempotencyKey, (self.principal_id, key))
        if row.fingerprint != fingerprint:
            raise KeyReusedError
        return row.run_id

    def _claimed(self, key: str) -> str:
        """Claim a key whose run is not launched: claimed, launched, or waiting for another claim."""
        with self.store.session(read_only=True) as session:
            row = session.get_one(IdempotencyKey, (self.principal_id, key))
            if row.launched_at or not _is_free(row):
                return "launched" if row.launched_at else "waiting"
        with self.store.session() as session:
            row = session.get_one(IdempotencyKey, (self.principal_id, key), with_for_update=True)
            if row.launched_at or not _is_free(row):
                return "launched" if row.launched_at else "waiting"
            row.claim, row.claimed_at = json.dumps(ProcessIdentity.of()), utc_now()
            return "claimed"

    def _launched(self, key: str, run_id: str, launch: Callable[[str], object]) -> None:
        is_launched = False
        try:
            launch(run_id)
            is_launched = True
        finally:
            with self.store.session() as session:
                row = session.get_one(IdempotencyKey, (self.principal_id, key))
                row.claim, row.claimed_at = None, None
                row.launched_at = utc_now() if is_launched else None


def _is_free(row: IdempotencyKey) -> bool:
    """Whether no process is launching the run."""
    if row.claim is None or row.claimed_at is None:
        return True
    claimant = ProcessIdentity(*json.loads(row.claim))
    if claimant.is_here():
        return claimant.process() is None
    return row.claimed_at < utc_now() - CLAIM_EXPIRES
