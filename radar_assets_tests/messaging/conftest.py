"""The store that the outbox is in, on both databases."""

from collections.abc import Iterator

import pytest

from radar_assets.store.database import Store, open_store
from radar_assets_tests.store.conftest import database_url

__all__ = ["database_url"]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty store of each kind."""
    store = open_store(database_url)
    yield store
    store.close()
