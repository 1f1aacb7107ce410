"""The tables of all layers, and the lakehouse that stores them."""

from functools import cache

from radar_assets.access.time_zones import read_calendar
from radar_assets.alerts import tables as alert_tables
from radar_assets.events import tables as event_tables
from radar_assets.lakehouse.graph import Graph
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.settings import LakehouseSettings
from radar_assets.metrics import tables as metric_tables
from radar_assets.store.database import open_store

TABLES = Graph((*event_tables.TABLES, *metric_tables.TABLES, *alert_tables.TABLES))


def open_lakehouse(settings: LakehouseSettings) -> Lakehouse:
    """The lakehouse with all tables, as the settings configure it, and the days of the projects in the store."""
    store = cache(lambda: open_store(settings.database))
    return Lakehouse(settings, TABLES, lambda: read_calendar(store()))
