"""The settings of the engine, and of the history of the tables."""

import os
import re
from typing import Literal

from pydantic import Field, field_validator

from radar_assets.home import HomeSettings


class HistorySettings(HomeSettings):
    """History: how long earlier snapshots of the tables can be read. Pinned ones are kept longer."""

    history_hours: int = Field(
        default=24, ge=1, le=8784, description="Hours for which every snapshot of a table is kept."
    )
    history_days: int = Field(
        default=7, ge=0, le=3660, description="Days for which one snapshot of a table per hour is kept."
    )


class LakehouseSettings(HistorySettings):
    """Engine: its kind, and how much of the machine it may use."""

    engine: Literal["duckdb"] = Field(default="duckdb", description="Engine that runs the SQL models.")
    memory: str = Field(default="1300MB", description="Memory limit of the engine, e.g. 1GB or 512MB.")
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 2, ge=1, le=256, description="Number of threads of the engine."
    )

    @field_validator("memory")
    @classmethod
    def _memory_size(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)", value):
            raise ValueError("not a size; use a number and a unit, e.g. 1GB")
        return value
