"""The databases that the store runs on, and a store on each; other layers import the fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from radar_assets.store.database import Store, open_store


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty store on each kind of database."""
    store = open_store(database_url)
    yield store
    store.close()
