"""The journal: acknowledged lines are in the landing zone, and refused lines are not."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from radar_assets.collector import journal as journal_module
from radar_assets.collector.journal import Journal, JournalError, open_journal
from radar_assets.collector.open_segments import list_open, recover
from radar_assets.events.landing import list_hours, list_segments
from radar_assets.settings import Settings, load_settings
from radar_assets_tests.patience import PATIENCE_S

NOW = datetime(2026, 3, 1, 12, 30)
HOUR = datetime(2026, 3, 1, 12)


def lines_of(landing: Path, hour: datetime = HOUR) -> list[str]:
    """All lines of an hour's segments, in order."""
    return sorted(line for one in list_segments(landing, hour) for line in one.local_path.read_text().splitlines())


def line(name: object) -> bytes:
    return f"{name}\n".encode()


async def append_all(journal: Journal, names: list[str], at: datetime = NOW) -> list[str]:
    """Append one line for each name, concurrently. Returns the names that were acknowledged."""
    answers = await asyncio.gather(*(journal.append(line(name), at) for name in names), return_exceptions=True)
    assert all(answer is None or isinstance(answer, JournalError) for answer in answers)
    return [name for name, answer in zip(names, answers, strict=True) if answer is None]


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number:04d}" for number in range(count)]


async def until(is_true: Callable[[], bool]) -> None:
    """Wait for something that the journal does."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_true():
            await asyncio.sleep(0.02)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Limit the size of files until the block ends: writes are cut short and then fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_acknowledged_lines_are_published_in_the_hour_they_were_received_in(settings: Settings) -> None:
    async def run() -> None:
        async with open_journal(settings) as journal:
            assert await append_all(journal, names("a", 50)) == names("a", 50)
            assert await append_all(journal, names("b", 50), NOW + timedelta(hours=1)) == names("b", 50)

    asyncio.run(run())
    assert lines_of(settings.landing) == names("a", 50)
    assert lines_of(settings.landing, HOUR + timedelta(hours=1)) == names("b", 50)
    assert not list_open(settings.landing)


def test_an_acknowledged_line_is_in_a_file_before_any_segment_is_published(settings: Settings) -> None:
    async def run() -> None:
        async with open_journal(settings) as journal:
            await journal.append(line("first"), NOW)
            (segment,) = list_open(settings.landing)
            assert (segment.hour, segment.path.read_bytes()) == (HOUR, line("first"))
            assert list_hours(settings.landing) == {}

    asyncio.run(run())


def test_requests_that_arrive_together_share_a_write(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs, groups = [], []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda handle: (syncs.append(handle), fdatasync(handle)))

    async def run() -> None:
        async with open_journal(settings) as journal:
            journal.on_durable = groups.append
            assert len(await append_all(journal, names("a", 500))) == 500
            assert len(groups) == len(syncs) <= 3
            assert sum(groups) == 500 * len(line("a0000"))

    asyncio.run(run())


def test_a_delay_gathers_requests_that_come_one_after_the_other(settings: Settings) -> None:
    # Longer than the setting allows, so that a busy machine doesn't separate them.
    async def run() -> None:
        groups = []
        async with open_journal(settings.model_copy(update={"collector_delay_ms": 500})) as journal:
            journal.on_durable = groups.append

            async def later(number: int) -> None:
                await asyncio.sleep(number / 1000)
                await journal.append(line(number), NOW)

            await asyncio.gather(*map(later, range(10)))
            assert groups == [10 * len(line(0))]

    asyncio.run(run())


def test_segments_are_published_by_age_and_by_size_without_further_traffic(radar_home: Path) -> None:
    async def publish_after_s(lines: bytes, **limits: object) -> float:
        settings = load_settings(**limits).prepare()
        before, began = len(list_segments(settings.landing, HOUR)), time.monotonic()
        async with open_journal(settings) as journal:
            await journal.append(lines, NOW)
            await until(lambda: len(list_segments(settings.landing, HOUR)) == before + 1)
            assert not list_open(settings.landing)
            return time.monotonic() - began

    asyncio.run(publish_after_s(b"x" * 2**20 + b"\n", segment_mb=1, segment_age_s=2 * PATIENCE_S))
    assert asyncio.run(publish_after_s(line("a"), segment_mb=1, segment_age_s=1)) >= 1


def test_a_write_that_is_cut_short_is_refused_and_leaves_nothing(settings: Settings) -> None:
    async def run() -> None:
        async with open_journal(settings) as journal:
            await journal.append(line("a" * 60), NOW)
            with largest_file(100):
                with pytest.raises(JournalError, match="File too large"):
                    await journal.append(line("b" * 60), NOW)
                assert journal.failure
            await journal.append(line("c" * 60), NOW)
            assert journal.failure is None

    asyncio.run(run())
    assert lines_of(settings.landing) == ["a" * 60, "c" * 60]


def test_after_a_failed_sync_the_file_is_never_written_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with open_journal(settings) as journal:
            await journal.append(line("a"), NOW)
            with monkeypatch.context() as broken:
                broken.setattr(os, "fdatasync", _fail)
                with pytest.raises(JournalError, match="Input/output error"):
                    await journal.append(line("b"), NOW)
            await journal.append(line("c"), NOW)

    asyncio.run(run())
    assert sorted(one.local_path.read_bytes() for one in list_segments(settings.landing, HOUR)) == [
        line("a"),
        line("c"),
    ]


def test_an_incomplete_line_that_could_not_be_removed_affects_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with open_journal(settings) as journal:
            await journal.append(line("a"), NOW)
            with monkeypatch.context() as broken, largest_file(4):
                broken.setattr(os, "ftruncate", _fail)
                with pytest.raises(JournalError):
                    await journal.append(line("b" * 60), NOW)
            await journal.append(line("c"), NOW)

    asyncio.run(run())
    assert lines_of(settings.landing) == ["a", "c"]


def test_a_failure_to_publish_loses_nothing_and_is_retried(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with open_journal(settings.model_copy(update={"segment_age_s": 0.1})) as journal:
            # A file in place of the day's folder.
            obstacle = settings.landing / "dt=2026-03-01"
            obstacle.write_bytes(b"")
            await journal.append(line("a"), NOW)
            await until(lambda: "could not be published" in caplog.text)
            assert len(list_open(settings.landing)) == 1
            obstacle.unlink()
            await until(lambda: lines_of(settings.landing) == ["a"])

    asyncio.run(run())


def test_a_stalled_disk_does_not_fill_the_memory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    goes_on = threading.Event()
    monkeypatch.setattr(journal_module, "MAX_WAITING_BYTES", 1000)
    monkeypatch.setattr(os, "fdatasync", lambda _: goes_on.wait(30))

    async def run() -> list[str]:
        async with open_journal(settings) as journal:
            appended = asyncio.create_task(append_all(journal, [f"{number:0100d}" for number in range(50)]))
            await asyncio.sleep(0.1)
            goes_on.set()
            return await appended

    acknowledged = asyncio.run(run())
    assert 10 <= len(acknowledged) < 20
    assert lines_of(settings.landing) == acknowledged


def test_closing_answers_waiting_requests_and_refuses_later_ones(settings: Settings) -> None:
    async def run() -> None:
        async with open_journal(settings) as journal:
            waiting = [asyncio.create_task(journal.append(line(name), NOW)) for name in names("a", 20)]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        with pytest.raises(JournalError, match="stopping"):
            await journal.append(line("b"), NOW)

    asyncio.run(run())
    assert lines_of(settings.landing) == names("a", 20)


_WORKER = """
import asyncio, sys
from datetime import datetime
from radar_assets.collector.journal import open_journal
from radar_assets.settings import load_settings

async def run():
    async with open_journal(load_settings()) as journal:
        await journal.append(b"whole\\n", datetime(2026, 3, 1, 12))
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(run())
"""


def test_a_segment_is_recovered_once_its_worker_is_dead_and_not_before(settings: Settings) -> None:
    worker = subprocess.Popen([sys.executable, "-c", _WORKER], stdout=subprocess.PIPE)
    assert worker.stdout
    assert worker.stdout.readline() == b"ready\n"
    recover(settings.landing)
    assert list_hours(settings.landing) == {}
    worker.kill()
    worker.wait()
    with list_open(settings.landing)[0].path.open("ab") as torn:
        torn.write(b"x" * 200_000)

    async def run() -> None:
        async with open_journal(settings):
            assert lines_of(settings.landing) == ["whole"]

    asyncio.run(run())
    assert not list_open(settings.landing)


def test_recovery_of_a_file_without_a_whole_line_leaves_no_segment(settings: Settings) -> None:
    folder = settings.landing / ".open"
    folder.mkdir()
    (folder / "2026-03-01T12_collector-1.open").write_bytes(b"torn")
    (folder / "2026-03-01T12_collector-2.open").write_bytes(b"")
    recover(settings.landing)
    assert list(settings.landing.rglob("*.*")) == [folder]


def _fail(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
