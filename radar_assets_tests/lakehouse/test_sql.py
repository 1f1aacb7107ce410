"""Column lineage is derived from the SQL."""

import pytest

from radar_assets.alerts.export import alerts_lineage
from radar_assets.events.enrichment import ENRICHMENT_RELATIONS, events_model
from radar_assets.events.local_days import DAY_RELATIONS
from radar_assets.events.sessionization import SESSION_RELATIONS
from radar_assets.lakehouse.sql import Lineage, SqlModel, column_lineage, load_model
from radar_assets.metrics.composition import compose
from radar_assets.metrics.registry import registry
from radar_assets.settings import Settings
from radar_assets.tables import TABLES, open_lakehouse

RELATIONS = {"rejected_events": {}, "events": ENRICHMENT_RELATIONS, "sessions": SESSION_RELATIONS}
"""Relations other than tables that the models of the event layer read."""


def lineage_of(table: str) -> Lineage:
    """The lineage of a table's model, as its asset reports it."""
    if table in RELATIONS:
        model = events_model() if table == "events" else load_model("radar_assets.events", table)
        return column_lineage(model, tuple(TABLES.values()), **RELATIONS[table])
    model = load_model("radar_assets.metrics", table)
    if table in ("hourly_metrics", "daily_metrics"):
        model = compose(model, registry(), "hour" if table == "hourly_metrics" else "day")
    return column_lineage(model, tuple(TABLES.values()), **DAY_RELATIONS)


@pytest.mark.parametrize("table", [name for name in TABLES if name not in ("raw_events", "alerts")])
def test_every_column_of_every_table_comes_from_columns_that_exist(table: str) -> None:
    lineage = lineage_of(table)
    assert set(lineage) == set(TABLES[table].column_names)
    for sources in lineage.values():
        for source, column in sources:
            assert column in TABLES[source].column_names
    untraced = {column for column, sources in lineage.items() if not sources}
    # Nothing is internal unless a team declares it.
    assert untraced <= {"metric", "dimension", "is_internal"}


def test_the_table_of_alerts_has_its_declared_columns_and_no_other_table_as_source(settings: Settings) -> None:
    lineage = alerts_lineage(open_lakehouse(settings))
    assert lineage == {column: [] for column in TABLES["alerts"].column_names}


def test_lineage_follows_a_number_back_to_the_line() -> None:
    assert ("sessions", "is_bounce") in lineage_of("daily_metrics")["value"]
    assert ("events", "revenue") in lineage_of("hourly_metrics")["value"]
    assert ("raw_events", "properties") in lineage_of("events")["revenue"]
    assert ("raw_events", "context") in lineage_of("events")["browser"]
    assert ("events", "path") in lineage_of("sessions")["entry_page"]


def test_lineage_is_kept_and_read_again(settings: Settings) -> None:
    model = SqlModel("hourly_metrics", "select project_id, event_time as hour from events")
    first = open_lakehouse(settings).lineage(model)
    (kept,) = (settings.home / "cache").glob("lineage-hourly_metrics-*.json")
    assert (
        open_lakehouse(settings).lineage(model)
        == first
        == {
            "project_id": [("events", "project_id")],
            "hour": [("events", "event_time")],
        }
    )
    kept.write_text("spoilt")
    assert open_lakehouse(settings).lineage(model) == first


def test_a_lineage_that_can_not_be_derived_is_empty(settings: Settings) -> None:
    """It is derived while definitions load, and the tables don't depend on it."""
    assert open_lakehouse(settings).lineage(SqlModel("events", "select ((")) == {}
