"""`radar health`: checks each part that Radar needs, now."""

from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.terminal import counted, err


def health(*, format: Format = "table") -> int:
    """Check each part that Radar needs: databases, folders, disks, the daemon, its queues, and servers. Nothing is recorded.

    The exit code is 1 if a component is unhealthy. The daemon runs the same checks every five minutes; rules with watch: health
    alert on them.

    Parameters
    ----------
    format
        Output format.
    """
    from dagster import DagsterInstance

    from radar_assets.config import load_watched_urls
    from radar_assets.operations.health.components import check_components
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    urls = load_watched_urls(settings.config_file, required=settings.config is not None)
    store = open_store(settings.database)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        results = check_components(settings, open_lakehouse(settings), store, instance, urls)
    columns = [
        Column("component"),
        Column("ok", cell=lambda ok: "ok" if ok else "failed", style=lambda ok: "" if ok else "red"),
        Column("latency_ms", heading="ms"),
        Column("detail"),
        Column("checked_at", only="data"),
    ]
    rows = [
        (result.component, result.ok, result.latency_ms, result.detail, result.checked_at)
        for result in sorted(results, key=lambda result: result.ok)
    ]
    print_list(columns, rows, format)
    failed = sum(not result.ok for result in results)
    if failed and format == "table":
        err().print(f"{counted(failed, 'component is', 'components are')} unhealthy.", style="red")
    return 1 if failed else 0
