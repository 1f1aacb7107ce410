"""`radar project export`: the landed lines of a project, with copies and rejected ones, so that an import gives the same tables."""

from collections.abc import Iterator
from datetime import datetime

from radar_assets.events.landing import list_hours, list_segments, read_lines
from radar_assets.events.loading import gone_segments
from radar_assets.events.tables import LAYER
from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.windows import HOUR, Window


def project_lines(lakehouse: Lakehouse, project_id: str) -> Iterator[tuple[datetime, bytes]]:
    """Received hour and lines of a project, with line feeds, in parts that fit into memory. Hours are in order."""
    import pyarrow as pa

    landing, model = lakehouse.settings.landing_zone, load_model(LAYER, "project_lines")
    for hour in sorted(list_hours(landing)):
        for batch in read_lines(list_segments(landing, hour)):
            lines = pa.Table.from_batches([batch])
            found = lakehouse.engine.query(model, {"lines": lines}, {"project_id": project_id})["text"].to_pylist()
            if found:
                yield hour, "".join(f"{text}\n" for text in found).encode()


def hours_not_landed(lakehouse: Lakehouse) -> list[datetime]:
    """The hours of which the tables have lines that are no longer in the landing zone, so that an export lacks them."""
    values = {ref.partition[0] for ref in lakehouse.snapshot("raw_events").files()}
    loaded = [from_unit(value, "hour") for value in values if value is not None]
    if not loaded:
        return []
    return sorted({hour for hour, _ in gone_segments(lakehouse, Window(min(loaded), max(loaded) + HOUR))})
