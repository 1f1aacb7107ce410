"""Runs in separate processes, which a test can kill. They are forked from a process that has imported everything."""

import multiprocessing
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

import dagster as dg

from radar_assets.access.projects import ensure_projects
from radar_assets.settings import load_settings
from radar_assets.simulator.projects import simulated_projects
from radar_assets.simulator.traffic import simulate
from radar_assets_tests.platform import Platform

START = datetime(2026, 3, 1)


def context() -> ForkServerContext:
    """Processes that start in milliseconds."""
    forks = multiprocessing.get_context("forkserver")
    preloaded = [
        "radar_assets_tests.faults.workers",
        "radar_assets_tests.faults.operating",
        "pyiceberg.catalog.sql",
        "duckdb",
        "sqlglot",
    ]
    preloaded += ["alembic.command", "radar_assets.messaging.transport.http", "standardwebhooks"]
    forks.set_forkserver_preload(preloaded)
    return forks


def start_forkserver() -> None:
    """Start the server that forks processes, if none runs. It keeps the environment of its start, and gives it to all of them."""
    context()
    forkserver.ensure_running()


def open_platform(home: Path, instance: Path) -> Platform:
    """The platform of a home, with an instance in a folder and the simulator's projects."""
    from radar_assets.store.database import open_store
    from radar_assets.store.models import Project

    settings = load_settings(home=home, threads=2, memory="512MB").prepare()
    instance.mkdir(exist_ok=True)
    platform = Platform(settings, dg.DagsterInstance.local_temp(str(instance)))
    store = open_store(settings.database)
    ensure_projects(store, [Project(id=p.id, name=p.name, timezone=p.timezone) for p in simulated_projects(3)])
    store.close()
    return platform


def land_traffic(platform: Platform, hours: int, events: int) -> None:
    """Land the first hours of a simulated day with this many events."""
    from radar_assets.events.landing import write_segment

    for hour, name, lines in simulate(START.date(), 1, projects=3, events=events):
        if hour < START + timedelta(hours=hours):
            write_segment(platform.settings.landing, hour, name, [lines])


def rebuild(home: Path, instance: Path, job: str, first: str, last: str, started: Callable[[], None]) -> None:
    """Signal the start, then run a job over a range of partitions."""
    platform = open_platform(home, instance)
    started()
    platform.rebuild(job, first, last)


def hour_key(hours: int) -> str:
    """Partition key of an hour, counted from `START`."""
    return (START + timedelta(hours=hours)).strftime("%Y-%m-%d-%H:%M")
