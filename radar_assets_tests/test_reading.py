"""The public functions of `radar_assets`, and the cost of importing the package."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

import radar_assets
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import HOUR, Window
from radar_assets_tests.lakehouse.numbers import DAY, write

DAY_WINDOW = Window(DAY, DAY + timedelta(days=1))


def test_a_window_is_a_partition_key_or_a_pair_of_times(settings: Settings) -> None:
    write(open_lakehouse(settings), DAY_WINDOW, 1, projects=1)
    frame = radar_assets.read_table("hourly_metrics", "2026-01-01-03:00")
    assert frame.to_dict("records") == [{"project_id": "p0", "hour": DAY + 3 * HOUR, "metric": "m", "value": 1}]
    for window, hours in {
        "2026-01-01": 24,
        ("2026-01-01", "2026-01-01T06:00"): 6,
        (date(2026, 1, 1), datetime(2026, 1, 1, 2, tzinfo=UTC)): 2,
        ("2026-01-01T01:00+01:00", "2026-01-01T02:00+01:00"): 1,
        DAY_WINDOW: 24,
    }.items():
        assert len(radar_assets.read_table("hourly_metrics", window)) == hours, window


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("yesterday", "invalid partition key 'yesterday'; write 2026-11-02 or 2026-11-02-03:00"),
        (("2026-01-01",), "invalid window .*; give a partition key or a pair"),
        (date(2026, 1, 1), "invalid window .*; give a partition key or a pair"),
        (("2026-01-02", "2026-01-01"), "ends .* before it starts"),
        (("soon", "later"), "Invalid isoformat string: 'soon'"),
    ],
)
def test_an_invalid_window_is_named(settings: Settings, window: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        radar_assets.read_table("hourly_metrics", window)  # pyright: ignore[reportArgumentType]


def test_importing_radar_imports_nothing_else() -> None:
    """Each process of Radar imports the package, and the process that runs are forked from must not load its modules."""
    script = "import sys, radar_assets; print(*(name for name in sys.modules if 'radar_assets.' in name or name == 'pandas'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_unknown_attributes_of_the_package_are_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'read_tables'"):
        radar_assets.read_tables  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
