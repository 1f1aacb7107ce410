"""A collector that is killed at any moment loses nothing that it acknowledged."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from radar_assets_tests.collector.processes import CollectorProcess, collecting
from radar_assets_tests.faults.senders import Senders, recovered
from radar_assets_tests.patience import eventually

LONGEST_S = 0.8
WORKERS = 2


def test_acknowledged_events_survive_kills(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills = int(request.config.getoption("--collector-kills") or 2)
    dice = random.Random(1)
    home, done = tmp_path / "radar", 0
    senders = Senders()
    with senders.running():
        while done < kills:
            # Segments are published often, so that kills also hit publishing.
            with collecting(home, WORKERS, segment_age_s=1) as running:
                senders.send_to(running)
                done += 2
                eventually(lambda least=100 * done: len(senders.acknowledged()) > least)
                time.sleep(dice.uniform(0.1, LONGEST_S))
                # One worker, which is replaced; then, as the block ends, all processes at once.
                os.kill(dice.choice(workers_of(running)), signal.SIGKILL)
                time.sleep(dice.uniform(0.1, LONGEST_S))
    acknowledged, found = senders.acknowledged(), recovered(home / "landing")
    assert acknowledged <= found
    print(f"{done} kills: {len(acknowledged)} events acknowledged, {len(found)} found")


def workers_of(running: CollectorProcess) -> list[int]:
    """The worker processes; not the one that Python starts to track shared resources."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
