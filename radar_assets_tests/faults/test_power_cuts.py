"""A power cut at any moment loses nothing that was acknowledged or committed. Without syncs, it would."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from radar_assets_tests.collector.processes import collecting
from radar_assets_tests.faults import operating, workers
from radar_assets_tests.faults.senders import Senders, recovered
from radar_assets_tests.programs import find_program

DISK_MB = 256
LONGEST_S = 1.5
PATIENCE_S = 60


class Disk:
    """A file system on a disk whose power can be cut, by copying what is on the disk at one moment.

    The disk is a file on an outer file system. Freezing that holds back every write, so that the copy is of a single moment. It lacks
    what the inner file system only has in memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._outer, self.mounted = folder, folder / "outer", folder / "mounted"
        self._cuts = 0

    @contextmanager
    def powered(self) -> "Iterator[Disk]":
        """Mount the disk. Skips the test if that is impossible."""
        outer = _image(self._folder / "outer.img", DISK_MB * 2, self._outer)
        with outer, _image(self._outer / "disk.img", DISK_MB, self.mounted):
            yield self

    @contextmanager
    def cut(self) -> Iterator[Path]:
        """The disk after a power cut at this moment, mounted again."""
        image = self._folder / "cut.img"
        subprocess.run(["fsfreeze", "--freeze", str(self._outer)], check=True)
        try:
            subprocess.run(["cp", "--sparse=always", str(self._outer / "disk.img"), str(image)], check=True)
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(self._outer)], check=True)
        with _mounted(image, self._folder / "cut"):
            yield self._folder / "cut"
        image.unlink()


@contextmanager
def _image(image: Path, size_mb: int, folder: Path) -> Iterator[None]:
    with image.open("wb") as file:
        file.truncate(size_mb * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with _mounted(image, folder):
        yield


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-o", "loop,noatime", str(image), str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"power cuts need a loop device: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A powered disk."""
    for tool, package in (("mkfs.ext4", "e2fsprogs"), ("fsfreeze", "util-linux"), ("mount", "mount")):
        find_program(tool, package, "power cuts")
    with Disk(tmp_path).powered() as disk:
        yield disk


def test_acknowledged_events_survive_a_power_cut(disk: Disk, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    cuts = int(request.config.getoption("--power-cuts") or 1)
    acknowledged = [len(known) for known, found in _cut(disk, tmp_path, cuts) if known <= found]
    assert len(acknowledged) == cuts
    assert acknowledged[0] > 100
    print(f"{cuts} power cuts: {acknowledged[-1]} events acknowledged before the last")


def test_without_syncs_a_power_cut_loses_acknowledged_events(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "without_sync"))
    ((known, found),) = _cut(disk, tmp_path, 1)
    assert len(known) > 100
    assert known - found


def _cut(disk: Disk, home: Path, cuts: int) -> list[tuple[set[int], set[int]]]:
    """Acknowledged events before power cuts under load, and recovered ones after each."""
    dice = random.Random(1)
    senders, results = Senders(), []
    landing = f"file://{disk.mounted}/landing"
    with collecting(home / "radar", landing_url=landing, segment_age_s=1) as running, senders.running():
        senders.send_to(running)
        time.sleep(0.5)
        for _ in range(cuts):
            time.sleep(dice.uniform(0, LONGEST_S))
            known = senders.acknowledged()
            with disk.cut() as remains:
                results.append((known, recovered(remains / "landing")))
        senders.send_to(None)
    return results


def test_after_a_power_cut_of_the_whole_platform_nothing_is_lost(disk: Disk, request: pytest.FixtureRequest) -> None:
    cuts = int(request.config.getoption("--platform-power-cuts") or 1)
    results = _cut_platform(disk, cuts, is_synced=True)
    for known, found in results:
        assert known <= found.landed
        assert not found.damaged
    known, found = results[-1]
    assert len(known) > 100
    assert found.loaded is not None
    assert known <= found.loaded
    print(f"{cuts} power cuts: {len(known)} events acknowledged before the last, {len(found.loaded)} loaded after it")


def test_without_syncs_a_power_cut_of_the_whole_platform_loses_events_and_commits(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "without_sync"))
    ((known, found),) = _cut_platform(disk, 1, is_synced=False)
    assert known - found.landed
    assert "raw_events" in found.damaged


def _cut_platform(disk: Disk, cuts: int, *, is_synced: bool) -> list[tuple[set[int], operating.Found]]:
    """What was acknowledged before each of some power cuts of a collector, runs and Dagster's databases, and what was found then."""
    dice, forks = random.Random(1), workers.context()
    senders, results, home = Senders(pause_s=0.1), [], disk.mounted / "radar"
    with collecting(home, segment_age_s=1) as running, senders.running():
        busy, started = forks.Pipe(duplex=False)
        platform = forks.Process(target=operating.operate, args=(home, is_synced, started), daemon=True)
        platform.start()
        try:
            senders.send_to(running)
            for number in range(cuts):
                # A run has just committed, and the next one is about to.
                assert busy.poll(PATIENCE_S)
                while busy.poll():
                    busy.recv()
                time.sleep(dice.uniform(0, LONGEST_S))
                known = senders.acknowledged()
                is_last = number == cuts - 1
                with disk.cut() as remains:
                    if is_last:
                        senders.send_to(None)
                        platform.kill()
                    results.append((known, _look(forks, home, disk.mounted, remains, is_synced, is_synced and is_last)))
                assert is_last or platform.is_alive()
        finally:
            platform.kill()
            platform.join()
    return results


def _look(forks: ForkServerContext, *arguments: object) -> operating.Found:
    """What `operating.look` finds."""
    found, answer = forks.Pipe(duplex=False)
    process = forks.Process(target=operating.look, args=(*arguments, answer))
    process.start()
    answer.close()
    try:
        return found.recv()
    finally:
        process.join()
