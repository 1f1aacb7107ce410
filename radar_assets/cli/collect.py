"""`radar collect`: receives events over HTTP, until it is stopped."""

from typing import Annotated

from cyclopts import Parameter, validators

from radar_assets.cli.terminal import err
from radar_assets.cli.ui_address import local_url

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
    serve("radar_assets.cli.collector_app:create_app", settings, host, port, workers)
