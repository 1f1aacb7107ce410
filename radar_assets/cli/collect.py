"""`radar collect`: receives events over HTTP, until it is stopped."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from radar_assets.cli.terminal import err
from radar_assets.cli.ui_address import local_url

if TYPE_CHECKING:
    from starlette.applications import Starlette

PORT = 8000


def collect(
    *,
    port: int = PORT,
    host: str = "127.0.0.1",
    workers: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=256))] = 1,
) -> None:
    """Receive events over HTTP. A 200 response means the event is on disk.

    Parameters
    ----------
    port
        Port to listen on.
    host
        Address to listen on; 0.0.0.0 for all addresses of this machine.
    workers
        Number of worker processes. Each writes its own segments.
    """
    from radar_assets.cli.dev import check_port
    from radar_assets.collector.server import serve
    from radar_assets.settings import load_settings

    check_port(host, port)
    settings = load_settings().prepare()
    err().print(f"Receiving events at {local_url(host, port)}/v1/events; Ctrl-C stops.", markup=False)
    serve(f"{__name__}:{create_app.__name__}", settings, host, port, workers)


def create_app() -> "Starlette":
    """The application of a worker, with the settings of the environment and the declarations in its configuration file."""
    from radar_assets.collector import app
    from radar_assets.collector.settings import CollectorSettings
    from radar_assets.config import WatchedDeclarations

    settings = CollectorSettings.load()
    declared = WatchedDeclarations(settings.config_file, required=settings.config is not None)
    return app.create_app(settings, declared)
