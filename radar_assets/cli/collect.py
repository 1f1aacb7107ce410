"""`radar collect`: takes events in over HTTP, until it is interrupted."""

from typing import Annotated

from cyclopts import Parameter, validators

from radar_assets.cli.terminal import err

PORT = 8000


def collect(
    *,
    port: int = PORT,
    host: str = "127.0.0.1",
    workers: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=256))] = 1,
) -> None:
    """Take events in over HTTP; an answer of 200 means that they are on disk.

    Parameters
    ----------
    port
        Port to listen on.
    host
        Address to listen on; 0.0.0.0 is every address of this machine.
    workers
        Processes to share the work, each with segments of its own.
    """
    from radar_assets.cli.dev import check_port
    from radar_assets.collector.server import serve
    from radar_assets.settings import load_settings

    check_port(host, port)
    settings = load_settings().prepare()
    err().print(f"Taking events in at http://{host}:{port}/v1/events; ctrl-c stops.", markup=False)
    serve(settings, host, port, workers)
