"""Fixtures for tests of imports."""

from collections.abc import Callable
from pathlib import Path

import pytest

from radar_assets.events import import_formats, import_sources
from radar_assets_tests.events.importing import Importer


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path / "import")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the block size, so that a few lines span several blocks like those of a large file."""

    def set_size(size: int) -> None:
        monkeypatch.setattr(import_sources, "BLOCK_BYTES", size)
        monkeypatch.setattr(import_formats, "BLOCK_BYTES", size)

    return set_size
