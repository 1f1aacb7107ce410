"""Reading Radar's tables from Python: what `import radar_assets` offers."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from radar_assets.lakehouse.frames import MAX_VALUES, read_frame
from radar_assets.settings import load_settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import Window, to_window

if TYPE_CHECKING:
    import pandas as pd


def read_table(
    name: str,
    window: Window | tuple[date | str, date | str] | str,
    as_of: datetime | str | None = None,
    *,
    columns: Sequence[str] | None = None,
    project: str | None = None,
    max_values: int = MAX_VALUES,
) -> "pd.DataFrame":
    """Read rows of a table of `RADAR_HOME` into a pandas DataFrame, ordered by time and key.

    | column type | dtype | null |
    | --- | --- | --- |
    | `string` | `string` | `pd.NA` |
    | `long`, `int` | `Int64`, `Int32` | `pd.NA` |
    | `double` | `float64` | `NaN` |
    | `boolean` | `boolean` | `pd.NA` |
    | `timestamp` | `datetime64[us]`, UTC without a time zone | `NaT` |
    | `date` | `datetime64[us]`, at midnight | `NaT` |
    | `binary` | `object` of `bytes` | `None` |
    | `decimal(18,4)` | `decimal128(18, 4)[pyarrow]`: exact; `astype(float)` converts it | `pd.NA` |

    `attrs` of the frame holds the `table`, the `snapshot_id` and when the snapshot was committed (`committed_at`).

    Args:
        window: the span of time to read, in UTC: a partition key such as `2026-11-02` or `2026-11-02-03:00`, a pair of datetimes,
            dates or ISO strings of which the second is not included, or a `Window`. It applies to the first column that the table
            is partitioned by.
        as_of: read the table as it stood at this time, or at the pin of this name. Times are datetimes or ISO strings, in UTC if
            they have no zone.
        columns: the columns to read. Default: all.
        project: the project to read. Default: all.
        max_values: maximum of rows times columns, so that a long window doesn't exhaust the memory.

    Raises:
        ValueError: the table, a column or the window is invalid, or the frame would have more than `max_values` values.
        SnapshotExpiredError: the table's history does not reach back to `as_of`; the message names the oldest time available.
        UnknownPinError: the table has no pin named `as_of`.
    """
    lakehouse = open_lakehouse(load_settings().prepare())
    return read_frame(
        lakehouse, name, to_window(window), as_of, columns=columns, project=project, max_values=max_values
    )
