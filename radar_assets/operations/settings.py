"""The settings of operations."""

from pydantic import Field

from radar_assets.access.settings import LimitSettings
from radar_assets.alerts.settings import AlertSettings
from radar_assets.home import HomeSettings
from radar_assets.orchestration.settings import RunSettings


class OperationsSettings(RunSettings, AlertSettings, LimitSettings, HomeSettings):
    """Operations: what the nightly maintenance deletes, and when the platform is unhealthy."""

    sweep_grace_h: float = Field(
        default=24,
        ge=4,
        description="Hours for which maintenance keeps files that no table refers to. Runs that take longer may fail to commit.",
    )
    audit_days: float = Field(
        default=30,
        ge=1,
        description="Days for which entries of the audit log are kept. A signed checkpoint takes the place of older ones.",
    )
    health_min_free_gb: float = Field(
        default=2,
        ge=0,
        description="Free space in GB below which a disk that Radar writes to is unhealthy.",
    )
