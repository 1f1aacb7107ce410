"""`radar watch`: monitors Dagster's daemon from outside, because the daemon can't report its own end."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from radar_assets.cli.signals import StopSignals
from radar_assets.cli.terminal import err

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import DagsterInstance

    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.metrics.registry import Metric
    from radar_assets.settings import Settings
    from radar_assets.store.database import Store

GONE_AFTER_S = 300
"""Age of the daemon's last heartbeat after which this process sends messages. Leases keep the two from sending the same message."""


def watch(*, once: bool = False, every: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 60) -> int:
    """Evaluate the rules that watch the daemon, and send due messages while it is down.

    Run it by cron, or on another machine with the same RADAR_DATABASE_URL.

    Parameters
    ----------
    once
        Check once and exit: 0 if the daemon is running, 1 if it is down.
    every
        Seconds between two checks.
    """
    from dagster import DagsterInstance

    from radar_assets.alerts.rules import load_rules
    from radar_assets.config import load_metrics
    from radar_assets.metrics.registry import registry
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    metrics = registry(load_metrics(settings.config_file, required=settings.config is not None))
    store, lakehouse = open_store(settings.database), open_lakehouse(settings)
    if not any(rule.enabled and rule.watch == "daemon" for rule in load_rules(store)):
        err().print("No enabled rule watches the daemon; no one will be notified if it stops.", style="yellow")
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        stop = None if once else StopSignals()
        while True:
            is_alive = True
            try:
                is_alive = check(store, instance, lakehouse, metrics, settings)
            except Exception as error:
                # The database may be back at the next check. A monitor must not stop with what it monitors.
                if stop is None:
                    raise
                err().print(f"Check failed: {type(error).__name__}: {error}", style="red", markup=False)
            if stop is None:
                store.close()
                return 0 if is_alive else 1
            if stop.wait(every):
                store.close()
                return 0


def check(
    store: "Store",
    instance: "DagsterInstance",
    lakehouse: "Lakehouse",
    metrics: "Sequence[Metric]",
    settings: "Settings",
) -> bool:
    """Check the daemon, and send due messages if it is down. Returns whether it is running."""
    from radar_assets.alerts.assets import deliver_due
    from radar_assets.alerts.escalation import escalate
    from radar_assets.alerts.watchers import daemon_seen, watch_now
    from radar_assets.windows import utc_now

    seen = daemon_seen(instance)
    watch_now(store, instance, lakehouse, settings, "daemon")
    if seen and (utc_now() - seen[1]).total_seconds() < GONE_AFTER_S:
        return True
    escalate(store, metrics, settings, utc_now())
    done = deliver_due(lakehouse, store, metrics, settings)
    state = f"has sent no heartbeat since {seen[1]:%Y-%m-%d %H:%M} UTC" if seen else "has not sent a heartbeat yet"
    err().print(
        f"The daemon {state}. Messages: {done.count('sent')} sent, {done.count('failed')} failed.", markup=False
    )
    return False
