"""Segments in an object store: each group of requests is uploaded as one segment before the response, so none is ever open."""

import uuid
from contextlib import suppress
from datetime import datetime

from radar_assets.events.landing import COLLECTED, segment_path
from radar_assets.object_store import ObjectPath

PATIENCE_S = 10.0
"""Timeout of an upload. Senders give up soon after."""


class ObjectSegments:
    """The segments of one worker in an object store."""

    def __init__(self, landing: ObjectPath) -> None:
        self._landing = landing

    def append(self, hour: datetime, lines: bytes) -> None:
        """Upload lines as a segment.

        Raises:
            OSError: the store is unavailable or refuses. If the request arrived all the same, the lines may appear.
        """
        path = segment_path(self._landing, hour, f"{COLLECTED}{uuid.uuid4().hex}")
        # The name is unique, so this is the same segment, uploaded by an attempt whose response was lost.
        with suppress(FileExistsError):
            path.put_new(lines, PATIENCE_S)

    def seconds_to_roll(self) -> None:
        """None, since there is nothing to publish."""

    def roll(self) -> None:
        """Do nothing: no segment is open."""

    def close(self) -> None:
        """Nothing is open."""
