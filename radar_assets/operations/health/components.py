"""All components of a home and their health checks."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.operations.health.network import network_probes
from radar_assets.operations.health.probes import TIMEOUT_S, Probe, Result, run_probes, within
from radar_assets.operations.health.scheduling import scheduling_probes
from radar_assets.operations.health.storage import storage_probes
from radar_assets.operations.health.urls import WatchedUrl
from radar_assets.operations.settings import OperationsSettings
from radar_assets.store.database import Store

if TYPE_CHECKING:
    from dagster import DagsterInstance


def check_components(
    settings: OperationsSettings,
    lakehouse: Lakehouse,
    store: Store,
    instance: "DagsterInstance",
    urls: Sequence[WatchedUrl] = (),
) -> list[Result]:
    """Check all components at the same time. Nothing is recorded.

    Args:
        urls: those of `radar.yaml`.
    """
    probes: list[Probe] = [
        *storage_probes(settings, lakehouse, store),
        *scheduling_probes(instance, store),
        *network_probes(settings, urls, within(TIMEOUT_S, partial(_webhooks, store), [])),
    ]
    return run_probes(probes)


def _webhooks(store: Store) -> list[str]:
    """URLs of the webhooks that were applied."""
    from radar_assets.messaging.channels import load_channels
    from radar_assets.messaging.channels.webhook import Webhook

    webhooks = [channel for channel in load_channels(store) if isinstance(channel, Webhook)]
    return [webhook.url.get_secret_value() for webhook in webhooks]
