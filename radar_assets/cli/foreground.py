"""Runs services in the foreground of a terminal: until Ctrl-C, another stop signal, or the end of one of them."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from radar_assets.cli.signals import StopSignals
from radar_assets.cli.supervisor import Child, Service, Supervisor, end_of
from radar_assets.cli.terminal import err, printable

LOOK_S = 0.2
MAX_START_S = 180
INTERRUPTED = 130
"""Exit code after a second Ctrl-C."""


def run_services(
    services: Sequence[Service],
    environment: Mapping[str, str],
    stop: StopSignals,
    *,
    logs: Path | None = None,
    when_ready: Callable[[], None] = lambda: None,
    meanwhile: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda line: err().print(line, markup=False, soft_wrap=True),
) -> int:
    """Run services until a signal arrives or one of them ends that is not restarted. Returns the exit code.

    Args:
        stop: has to handle a second Ctrl-C, which kills the services.
        logs: folder for their output. Without it, they share the output of this process.
        when_ready: is called once all services are ready, or after `MAX_START_S`.
        meanwhile: is called every `LOOK_S` after that.
        say: prints a line when a service is restarted.
    """
    console, code, deadline = err(), 0, time.monotonic() + MAX_START_S
    with Supervisor(environment, logs) as supervisor:
        for service in services if not stop.received else ():
            supervisor.start(service)
        unready: list[Child] | None = supervisor.children
        while not stop.wait(LOOK_S):
            # A service manager signals parent and children at the same time. Children that end then have not failed.
            if (ended := supervisor.ended()) and not stop.received:
                _print_end(ended)
                code = 1
                break
            for line in supervisor.restart_failed() if not stop.received else ():
                say(line)
            if unready is None:
                meanwhile()
                continue
            before, unready = unready, [child for child in unready if not child.is_ready()]
            for child in before:
                if child not in unready and child.service.title:
                    console.print(f"{child.service.title} ready", markup=False)
            if not unready or time.monotonic() > deadline:
                for child in unready:
                    console.print(f"{child.service.name} does not respond yet", style="yellow")
                unready = None
                when_ready()
        console.print("Stopping ... Press Ctrl-C again to kill everything.", markup=False)
        stop.received = True  # from here on, any Ctrl-C is a second one
        supervisor.stop(lambda: stop.insisted)
    if stop.insisted:
        console.print(
            "Killed. Accepted events are on disk; unfinished work is resumed at the next start.", markup=False
        )
        return INTERRUPTED
    return code


def _print_end(child: Child) -> None:
    """Print why a child has ended, as far as its log shows it."""
    from rich.text import Text

    console = err()
    console.print(f"{child.service.name} ended ({end_of(child)}), so everything stops.", style="red", markup=False)
    if child.log:
        console.print(f"Last lines of {child.log}:", markup=False, soft_wrap=True)
        for line in child.last_lines():
            console.print(f"  {printable(Text.from_ansi(line).plain)}", markup=False, soft_wrap=True)
