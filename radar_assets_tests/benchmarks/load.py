"""The load of the collect benchmark, a process of its own: connections that send prepared requests, each after its last one's answer.

With a rate, requests are due at even times, and their answers are timed from then on, so that a stall counts for all that it delays.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import cast

from radar_assets_tests.benchmarks.measurement import report

_HEADERS_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Sender(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: "Load", place: int) -> None:
        self._load, self._place = load, place
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(_HEADERS_END)
        length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
        if not found or len(body) < int(length):
            return
        self._load.answered(time.perf_counter() - self._due_at, head[9:12])
        self._received = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.end(self._place, "the collector closed a connection")

    def _send(self) -> None:
        self._due_at = self._load.next_due_at()
        if self._due_at >= self._load.ends_at:
            self._load.end(self._place)
        elif (wait_s := self._due_at - time.perf_counter()) > 0:
            asyncio.get_running_loop().call_later(wait_s, self._write)
        else:
            self._write()

    def _write(self) -> None:
        self._transport.write(self._load.next_request())


class Load:
    """What the connections share."""

    def __init__(self, requests: list[bytes], connections: int, seconds: float, rate: float) -> None:
        self._requests, self._rate = requests, rate
        self.began_at = time.perf_counter()
        self.ends_at = self.began_at + seconds
        self._sent = self._due = 0
        self.times_s: list[float] = []
        self._open = set(range(connections))
        self.done = asyncio.get_running_loop().create_future()

    def next_due_at(self) -> float:
        """When the next request of a connection that is free is due."""
        now = time.perf_counter()
        if not self._rate:
            return now
        self._due += 1
        return self.began_at + self._due / self._rate

    def next_request(self) -> bytes:
        """A request."""
        self._sent += 1
        return self._requests[self._sent % len(self._requests)]

    def answered(self, seconds: float, status: bytes) -> None:
        """Note an answer."""
        if status != b"200":
            self._fail(f"the collector answered {status.decode()}")
        self.times_s.append(seconds)

    def end(self, place: int, failure: str = "") -> None:
        """Note that a connection sends no more."""
        if failure and place in self._open:
            self._fail(failure)
        self._open.discard(place)
        if not self._open and not self.done.done():
            self.done.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(why))


async def _run(port: int, requests: list[bytes], connections: int, seconds: float, rate: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    load = Load(requests, connections, seconds, rate)
    for place in range(connections):
        await loop.create_connection(lambda place=place: Sender(load, place), "127.0.0.1", port)
    await load.done
    took = time.perf_counter() - load.began_at
    times = sorted(load.times_s)
    return {
        "requests": len(times),
        "took_s": took,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
    }


def main(port: str, requests: str, connections: str, seconds: str, rate: str) -> None:
    """Send the requests of a file, which stand one after the other, each after its length."""
    import uvloop

    data, prepared = Path(requests).read_bytes(), []
    while data:
        size = int.from_bytes(data[:4])
        prepared.append(data[4 : 4 + size])
        data = data[4 + size :]
    report(uvloop.run(_run(int(port), prepared, int(connections), float(seconds), float(rate))))


if __name__ == "__main__":
    main(*sys.argv[1:])
