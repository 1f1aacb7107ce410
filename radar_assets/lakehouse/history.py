"""The history of tables: which earlier states have to stay readable."""

from datetime import datetime

from radar_assets.lakehouse.lakehouse import Lakehouse


def kept_metadata(lakehouse: Lakehouse, table: str, now: datetime) -> list[str]:
    """Locations of the metadata files of a table whose snapshots have to stay readable: the current one, then earlier ones.

    The earlier ones are those that a recovery falls back to. Another process may delete them at any time.

    Args:
        now: in UTC.
    """
    iceberg = lakehouse.snapshot(table).iceberg
    return [iceberg.metadata_location, *(entry.metadata_file for entry in reversed(iceberg.metadata.metadata_log))]
