"""Temporary folders go with their process, and those of killed processes with the next one."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from radar_assets.lakehouse.engines.duckdb import DuckDBEngine
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.scratch import leftovers
from radar_assets_tests.patience import PATIENCE_S

SPILLING = """
import sys
from pathlib import Path
from radar_assets.lakehouse.engines.duckdb import DuckDBEngine
from radar_assets.lakehouse.sql import SqlModel
engine = DuckDBEngine("100MB", 1, Path(sys.argv[1]))
with engine.staged(SqlModel("small", "select 1 as one"), {}, {}):
    rows = "select i, random() as r, repeat('x', 50) as text from range(90000000) t(i)"
    engine.query(SqlModel("x", f"select count(*) from ({rows} order by r)"), {})
"""
EXITING = """
import sys
from pathlib import Path
from radar_assets.lakehouse.engines.duckdb import DuckDBEngine
from radar_assets.lakehouse.sql import SqlModel
DuckDBEngine("100MB", 1, Path(sys.argv[1])).query(SqlModel("x", "select 1"), {})
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def spilling(scratch: Path) -> tuple[subprocess.Popen[bytes], set[Path]]:
    """A process that has staged rows and spills, and its folders."""
    before = set(scratch.iterdir())
    process = subprocess.Popen([sys.executable, "-c", SPILLING, str(scratch)])
    deadline = time.monotonic() + PATIENCE_S
    while True:
        folders = set(scratch.iterdir()) - before
        if {"spill", "staged.parquet"} <= {path.name for folder in folders for path in folder.iterdir()}:
            return process, folders
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_start_removes_what_a_killed_process_spilled_and_staged_and_nothing_of_a_living_one(scratch: Path) -> None:
    killed, of_killed = spilling(scratch)
    living, of_living = spilling(scratch)
    with killed, living:
        killed.kill()
        killed.wait()
        assert set(leftovers(scratch)) == of_killed
        DuckDBEngine("100MB", 1, scratch).query(SqlModel("x", "select 1"), {})
        assert set(scratch.iterdir()) == of_living
        assert all(list(folder.iterdir()) for folder in of_living)
        living.kill()


def test_a_process_that_exits_leaves_nothing(scratch: Path) -> None:
    subprocess.run([sys.executable, "-c", EXITING, str(scratch)], check=True)
    assert list(scratch.iterdir()) == []
