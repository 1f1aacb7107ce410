"""The databases that projects are in."""

from radar_assets_tests.store.conftest import database_url, store

__all__ = ["database_url", "store"]
