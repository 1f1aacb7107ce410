"""The processes behind the UI of `radar dev`: a code server that loads the definitions for all, the guarded UI, the daemon.

`dagster dev` runs the same, but its webserver has no guard.
"""

import atexit
import shutil
import signal
import socket
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

DEFINITIONS = "radar_assets.definitions"
POLL_S = 0.1


def ui_commands(host: str, port: int) -> dict[str, list[str]]:
    """The commands to run side by side, by name. None of them ends by itself."""
    # Not in the home, as the address of a socket has 100 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="radar-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address, workspace = folder / "code.sock", folder / "workspace.yaml"
    workspace.write_text(
        f"load_from:\n  - grpc_server: {{socket: {address}, location_name: {DEFINITIONS}}}\n", encoding="utf-8"
    )
    code_server = ["", "dagster._cli", "dagster._cli", "code-server", "start"]
    code_server += ["--socket", str(address), "-m", DEFINITIONS, "--location-name", DEFINITIONS]
    # Its interpreter's path lets the run launcher see that runs may be forked from the daemon.
    code_server += ["--use-python-environment-entry-point", "--log-level", "warning"]
    ui = [str(address), "radar_assets.api.server", "radar_assets.cli"]
    ui += ["serve", "--host", host, "--port", str(port), "--workspace", str(workspace)]
    daemon = [str(address), "dagster._daemon.cli", "dagster._daemon.cli", "run", "--workspace", str(workspace)]
    commands = {"code-server": code_server, "ui": ui, "daemon": daemon}
    start = [sys.executable, "-c", f"from {__name__} import main; main()"]
    return {name: [*start, *command] for name, command in commands.items()}


def main() -> None:
    """Run `main` of a module once the code server answers, before which queued runs would fail.

    The arguments are the socket, or nothing to wait for; a module to import meanwhile; the module with `main`; what that takes.
    """
    _, address, heavy, module, *arguments = sys.argv
    # Until the command has handlers of its own, nothing is under way, and a signal ends the process without a traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    import_module(heavy)
    while address and not _answers(address):
        time.sleep(POLL_S)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[1:] = arguments
    import_module(module).main()


def _answers(address: str) -> bool:
    """Whether the code server listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address) == 0
