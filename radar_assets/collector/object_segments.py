"""Segments in an object store: each group of requests is one, put whole before the answer, so that nothing is ever open."""

import uuid
from contextlib import suppress
from datetime import datetime

from radar_assets.events.landing import segment_path
from radar_assets.object_store import ObjectPath

PATIENCE_S = 10.0
"""How long a put may take: senders give up waiting soon after."""


class ObjectSegments:
    """The segments of one worker in an object store."""

    def __init__(self, landing: ObjectPath) -> None:
        self._landing = landing

    def append(self, hour: datetime, lines: bytes) -> None:
        """Put lines as a segment.

        Raises:
            OSError: the store is out or refuses; if the request got through all the same, the lines may appear.
        """
        path = segment_path(self._landing, hour, f"collector-{uuid.uuid4().hex}")
        # Of that name there can only be this one, put by an attempt of which the answer was lost.
        with suppress(FileExistsError):
            path.put_new(lines, PATIENCE_S)

    def seconds_to_roll(self) -> None:
        """Never: there is nothing to publish."""

    def roll(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""
