"""The load of the collect benchmark, in its own process: each connection sends prepared requests, one after the other's response.

With a rate, requests are due at regular times, and latency is measured from then on, so that a stall counts for every request that it
delays.
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

    def __init__(self, load: "Load", index: int) -> None:
        self._load, self._place = load, index
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
    """The state that connections share."""

    def __init__(self, requests: list[bytes], connections: int, seconds: float, rate: float) -> None:
        self._requests, self._rate = requests, rate
        self.began_at = time.perf_counter()
        self.ends_at = self.began_at + seconds
        self._sent = self._due = 0
        self.times_s: list[float] = []
        self._open = set(range(connections))
        self.done = asyncio.get_running_loop().create_future()

    def next_due_at(self) -> float:
        """When the next request is due, for an idle connection."""
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
        """Record a response."""
        if status != b"200":
            self._fail(f"the collector answered {status.decode()}")
        self.times_s.append(seconds)

    def end(self, index: int, failure: str = "") -> None:
        """Record that a connection has finished."""
        if failure and index in self._open:
            self._fail(failure)
        self._open.discard(index)
        if not self._open and not self.done.done():
            self.done.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(why))


async def _run(port: int, requests: list[bytes], connections: int, seconds: float, rate: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    load = Load(requests, connections, seconds, rate)
    for index in range(connections):
        await loop.create_connection(lambda index=index: Sender(load, index), "127.0.0.1", port)
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
    """Send the requests of a file, in which each follows its length."""
    import uvloop

    data, prepared = Path(requests).read_bytes(), []
    while data:
        size = int.from_bytes(data[:4])
        prepared.append(data[4 : 4 + size])
        data = data[4 + size :]
    report(uvloop.run(_run(int(port), prepared, int(connections), float(seconds), float(rate))))


if __name__ == "__main__":
    main(*sys.argv[1:])
