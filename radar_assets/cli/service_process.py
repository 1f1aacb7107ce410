"""Where the process of a service begins: it waits for the code server if it needs it, then runs the service's command."""

import signal
import socket
import sys
import time
from importlib import import_module

POLL_S = 0.1


def main() -> None:
    """Run the `main` of a module.

    The arguments are: the socket of the code server to wait for, because queued runs fail before it responds, or an empty string;
    a module to import while waiting; the module with `main`; the arguments of that.
    """
    _, address, heavy, module, *arguments = sys.argv
    # Until the command sets its own handlers, a signal ends the process without a traceback. No work is in progress yet.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    import_module(heavy)
    while address and not _responds(address):
        time.sleep(POLL_S)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[1:] = arguments
    import_module(module).main()


def _responds(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address) == 0
