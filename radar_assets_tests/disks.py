"""File systems of limited size, for tests of full disks."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SIZE_MB = 6


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("tests of a full disk mount a file system, which takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(disk: Path, size_kb: int) -> None:
    """Change the size of a file system that `small_disk` has mounted."""
    subprocess.run(["mount", "-o", f"remount,size={size_kb}k", str(disk)], check=True)


def used_kb(disk: Path) -> int:
    """How much of a file system is in use."""
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize // 1024
