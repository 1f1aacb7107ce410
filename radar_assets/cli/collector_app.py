"""The application that each worker of `radar collect` serves.

It is a module of its own so that uvicorn imports it, and all that it needs, before it handles signals itself.
"""

from starlette.applications import Starlette

from radar_assets.collector import app
from radar_assets.collector.settings import CollectorSettings
from radar_assets.config import WatchedDeclarations


def create_app() -> Starlette:
    """The application, with the settings of the environment and the declarations in its configuration file."""
    settings = CollectorSettings.load()
    declared = WatchedDeclarations(settings.config_file, required=settings.config is not None)
    return app.create_app(settings, declared)
