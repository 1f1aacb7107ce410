"""Senders that put load on a collector and remember what it acknowledged, and what of it has landed."""

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radar_assets.collector.open_segments import recover
from radar_assets.windows import DAY, utc_now
from radar_assets_tests.collector.conftest import Collector

SENDERS = 4
MAX_EVENTS = 20
"""Per request."""
PAUSE_S = 0.002
"""Pause between two requests of a sender, so that a test doesn't use the whole machine."""


class Senders:
    """Threads that send events with numbers as ids. Requests without a response are retried, as in SDKs."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        # Late, and not by more, because all days until today are built as well.
        self._timestamp = f"{utc_now() - DAY:%Y-%m-%dT%H:00:00Z}"
        self._numbers = itertools.count()
        self._collector: Collector | None = None
        self._ended = False
        self._acknowledged: list[list[int]] = [[] for _ in range(SENDERS)]

    def send_to(self, collector: Collector | None) -> None:
        """Send to another collector from now on; the previous one may have ended."""
        self._collector = collector

    def acknowledged(self) -> set[int]:
        """The ids that the collector has acknowledged."""
        return {number for numbers in self._acknowledged for number in list(numbers)}

    @contextmanager
    def running(self) -> Iterator["Senders"]:
        """Send until the block ends."""
        threads = [threading.Thread(target=self._send, args=(index,)) for index in range(SENDERS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended = True
            for thread in threads:
                thread.join()

    def _send(self, index: int) -> None:
        dice = random.Random(index)
        connection, collector, batch = None, None, []
        while not self._ended:
            batch = batch or [next(self._numbers) for _ in range(dice.randint(1, MAX_EVENTS))]
            if collector is not self._collector:
                collector, connection = self._collector, None
            if collector is None:
                time.sleep(0.01)
                continue
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=10)
            body = json.dumps([{**_event(number), "timestamp": self._timestamp} for number in batch])
            try:
                connection.request("POST", "/v1/events", body, {"Authorization": f"Bearer {collector.keys['shop']}"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection = None
                time.sleep(0.01)
                continue
            if answer.status == 200:
                self._acknowledged[index].extend(batch)
                batch = []
            time.sleep(self._pause_s)


def recovered(landing: Path) -> set[int]:
    """The ids in a landing zone once a collector has started there again.

    All lines must be complete. Lines with the same id only differ in their received time, so that one of them counts.
    """
    recover(landing)
    found, timestamps = set[int](), set[str]()
    for segment in landing.glob("dt=*/hr=*/*.ndjson"):
        content = segment.read_bytes()
        assert content.endswith(b"\n")
        for line in content.splitlines():
            fields = json.loads(line)
            number = int(fields["event_id"])
            assert {"project_id": "shop", "protocol": "radar", **_event(number)}.items() <= fields.items()
            found.add(number)
            timestamps.add(fields["timestamp"])
    assert len(timestamps) <= 1
    assert not list(landing.glob(".open/*"))
    return found


def _event(number: int) -> dict[str, object]:
    return {
        "event_id": str(number),
        "event": "sent",
        "anonymous_id": "visitor",
        "properties": {"filler": "x" * (number % 997)},
    }
