"""Radar's settings: the settings of all layers in one class, validated when a process starts.

What operators change between deployments belongs here. What changes the meaning of a number is configuration (`radar.yaml`). Both are
declared in their layer; to add settings, add their class to the bases of `Settings`. Layers import their own class, never this module.
"""

from radar_assets.access.settings import LimitSettings, LoginSettings
from radar_assets.alerts.settings import AlertSettings
from radar_assets.collector.settings import CollectorSettings
from radar_assets.environment import SettingsError
from radar_assets.events.settings import EventSettings
from radar_assets.home import HomeSettings
from radar_assets.lakehouse.settings import LakehouseSettings
from radar_assets.messaging.settings import MessagingSettings
from radar_assets.operations.settings import OperationsSettings
from radar_assets.orchestration.settings import RunSettings, UISettings

__all__ = ["Settings", "SettingsError", "load_settings"]


class Settings(
    # Fields are listed and validated in the reverse order: those of HomeSettings come first.
    OperationsSettings,
    RunSettings,
    AlertSettings,
    MessagingSettings,
    LoginSettings,
    UISettings,
    CollectorSettings,
    LimitSettings,
    EventSettings,
    LakehouseSettings,
    HomeSettings,
):
    """All settings and their defaults."""


def load_settings(**overrides: object) -> Settings:
    """Read all settings from the environment; arguments and errors as of `EnvironmentSettings.load`."""
    return Settings.load(**overrides)
