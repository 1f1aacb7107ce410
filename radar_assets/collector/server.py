"""The collector as a process: uvicorn with one or more workers, from the first bind to the last line written.

What an application does with requests is in `app.py`.
"""

import os
import resource
import signal
from importlib.util import find_spec
from types import FrameType

from radar_assets.collector.settings import CollectorSettings
from radar_assets.environment import SettingsError
from radar_assets.scratch import FIGURES, OwnedFolder
from radar_assets.store.database import open_store

KEEP_ALIVE_S = 65
"""Longer than clients and proxies keep idle connections, so that none is closed while its next request is on the way."""
DRAIN_S = 30
"""How long requests in progress may take after a signal to stop."""


def serve(app: str, settings: CollectorSettings, host: str, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM, then finish requests in progress and publish every line.

    SIGINT and SIGTERM end the process with exit code 0, from now on.

    Args:
        app: the function that makes the application of a worker, as `module:name`.
        settings: those of the environment, which the workers read again.

    Raises:
        SettingsError: a setting needs a package that is not installed.
        StoreError: the operational store can't be used.
    """
    import uvicorn

    from radar_assets.collector.telemetry import LOGGING, MULTIPROCESS

    if settings.redis_url and not find_spec("redis"):
        raise SettingsError("RADAR_REDIS_URL: the Redis client is not installed; run pip install 'radar-assets[redis]'")
    figures: OwnedFolder | None = None

    def end(_number: int, _frame: FrameType | None) -> None:
        # Not with an exception: Python drops one that is raised in a weakref callback or a __del__, and the process would run on.
        if figures:
            figures.remove()
        os._exit(0)

    # In force until uvicorn installs its own handlers, before any request, and again after it has stopped: then it raises the signal
    # that stopped it once more.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    # Before workers start, so that they needn't wait for each other and an error is reported once.
    open_store(settings.database).close()
    _allow_connections()
    if workers > 1:
        figures = OwnedFolder(settings.scratch, FIGURES)
        os.environ[MULTIPROCESS] = str(figures.path)
    try:
        uvicorn.run(
            app,
            factory=True,
            host=host,
            port=port,
            workers=workers,
            http="radar_assets.collector.protocol:BoundedProtocol",
            ws="none",
            log_config=LOGGING,
            access_log=False,
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
    finally:
        if figures:
            figures.remove()


def _allow_connections() -> None:
    """Raise the limit of open files to its maximum, since each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
