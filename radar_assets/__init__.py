"""Product analytics as a Dagster asset graph."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radar_assets.reading import read_table

__all__ = ["read_table"]


def __getattr__(name: str) -> Any:
    """Load `read_table` when it is first used, since every process of Radar imports this package."""
    if name == "read_table":
        from radar_assets.reading import read_table

        return read_table
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
