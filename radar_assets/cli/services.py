"""The services that `radar dev` and `radar serve` run: their commands, and the files through which they find each other.

How services are supervised is in `supervisor.py`; the process of a service begins in `service_process.py`.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from radar_assets.cli.supervisor import Service
from radar_assets.cli.ui_address import local_url
from radar_assets.scratch import SERVICES, owned_folder

DEFINITIONS = "radar_assets.definitions"
SOCKET, WORKSPACE = "code.sock", "workspace.yaml"
SOCKET_PATH = re.compile(r"[A-Za-z0-9_./-]{1,100}")
"""Linux allows 107 bytes in the path of a UNIX socket, macOS 103; gRPC reads the path as part of a URL."""


def collector_service(host: str, port: int) -> Service:
    """The collector."""
    command = ["", "radar_assets.cli", "radar_assets.cli", "collect", "--host", host, "--port", str(port)]
    return Service("collector", _python(command), f"{local_url(host, port)}/readyz", "Collector")


def ui_service(host: str, port: int, workspace: Path | None = None, wait_for: Path | None = None) -> Service:
    """The guarded UI.

    Args:
        workspace: file that names the code servers to use. By default the UI starts its own.
        wait_for: socket of a code server to wait for.
    """
    command = [str(wait_for or ""), "radar_assets.api.server", "radar_assets.cli", "serve-ui"]
    command += ["--host", host, "--port", str(port)]
    return Service(
        "ui", _python(command + (["--workspace", str(workspace)] if workspace else [])), local_url(host, port), "UI"
    )


def dagster_services(host: str, port: int, folder: Path) -> list[Service]:
    """A code server that loads the definitions once for all, the guarded UI, and the daemon.

    `dagster dev` runs the same, but its webserver has no guard.

    Args:
        host, port: address of the UI.
        folder: a `services_folder`.
    """
    address, workspace = folder / SOCKET, folder / WORKSPACE
    location = {"socket": str(address), "location_name": DEFINITIONS}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": location}]}), encoding="utf-8")
    code_server = ["", "dagster._cli", "dagster._cli", "code-server", "start"]
    code_server += ["--socket", str(address), "-m", DEFINITIONS, "--location-name", DEFINITIONS]
    # By the path of its interpreter, the run launcher knows that the daemon can fork the runs.
    code_server += ["--use-python-environment-entry-point", "--log-level", "warning"]
    daemon = [str(address), "dagster._daemon.cli", "dagster._daemon.cli", "run", "--workspace", str(workspace)]
    return [
        Service("code-server", _python(code_server), has_failed=_CodeServerWatch(address)),
        ui_service(host, port, workspace, address),
        Service("daemon", _python(daemon)),
    ]


class _CodeServerWatch:
    """Whether a code server has lost the process that serves the definitions.

    That process ends when the code server is too busy to send it heartbeats for 30 s, and the code server doesn't start another one.
    """

    def __init__(self, address: Path) -> None:
        self._address = address
        self._had_process: set[int] = set()

    def __call__(self, code_server: psutil.Process) -> bool:
        if any(child.status() != psutil.STATUS_ZOMBIE for child in code_server.children()):
            self._had_process.add(code_server.pid)
            return False
        return code_server.pid in self._had_process and not _answers(self._address)


def _answers(address: Path) -> bool:
    """Whether a code server answers, be it that the definitions can't be loaded."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    try:
        DagsterGrpcClient(socket=str(address)).list_repositories()
    except DagsterUserCodeUnreachableError:
        return False
    return True


def _python(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", "from radar_assets.cli.service_process import main; main()", *command]


@contextmanager
def services_folder(scratch: Path) -> Iterator[Path]:
    """A folder for the socket and the workspace file of this process, which is removed when the block ends.

    Folders of processes that were killed are removed too.

    Args:
        scratch: the parent folder. Where its path is too long for a socket, the system's temporary folder is used instead.
    """
    example = scratch / f"{SERVICES}{'x' * 8}" / SOCKET
    parent = scratch if SOCKET_PATH.fullmatch(str(example)) else Path(tempfile.gettempdir())
    with owned_folder(parent, SERVICES, _remove_files) as folder:
        yield folder


def _remove_files(_folder: Path, handle: int) -> None:
    """Remove the files of services from a folder. Others stay, because the parent may be the system's temporary folder."""
    for name in (SOCKET, WORKSPACE):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=handle)
