"""The store of alerts, on both databases."""

from radar_assets_tests.store.conftest import database_url, store

__all__ = ["database_url", "store"]
