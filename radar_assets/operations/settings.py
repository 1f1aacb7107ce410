"""The settings of operations."""

from pydantic import Field

from radar_assets.alerts.settings import AlertSettings
from radar_assets.orchestration.settings import RunSettings


class OperationsSettings(RunSettings, AlertSettings):
    """Operations: what the nightly maintenance deletes."""

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
