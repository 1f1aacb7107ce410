"""The settings of the UI and of runs."""

from typing import Annotated

from pydantic import Field

from radar_assets.environment import EnvironmentSettings
from radar_assets.home import HomeSettings
from radar_assets.urls import shown_url


class UISettings(HomeSettings):
    """UI: where people reach it."""

    ui_url: Annotated[str | None, shown_url("http", "https")] = Field(
        default=None,
        description="Public address of the UI. The UI answers only to its host and to the names of this machine. Alerts link to it, "
        "and radar apply reloads it if no UI of this home runs on this machine. Default: under radar dev, its own address; otherwise "
        "none, and alerts have no links.",
    )


class RunSettings(EnvironmentSettings):
    """Runs: how many may be in progress, when one is stuck, and how long Dagster's storage keeps them."""

    # The largest pool that two cores can use has 5 runs, which wait for a model or a server most of the time.
    max_runs: int = Field(
        default=6,
        ge=1,
        le=1000,
        description="Maximum number of runs in progress. Each may use up to RADAR_MEMORY. Backfills use at most half of them.",
    )
    stuck_after_min: float = Field(
        default=30,
        ge=1,
        description="Minutes for which the processes of a run may use no CPU. Then the run is stuck: it is ended, failed and retried.",
    )
    run_logs_days: float = Field(
        default=3,
        ge=1,
        description="Days for which the logs of successful runs are kept. The latest materialization of each partition and the latest "
        "result of each check are kept forever.",
    )
    runs_days: float = Field(
        default=90,
        ge=1,
        description="Days for which runs are kept, with the logs of those that failed.",
    )
