"""Sends recorded requests through a real collector at the times at which they were received, and builds all tables from them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import time_machine

from radar_assets.access.keys import create_key
from radar_assets.access.projects import ensure_projects
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.orchestration.automation import REFRESH_EVERY
from radar_assets.settings import Settings
from radar_assets.store.models import Project
from radar_assets.windows import DAY
from radar_assets_tests.collector.conftest import Reply, serving
from radar_assets_tests.platform import Platform, instance_of

CASES = Path(__file__).parent / "cases"
NOON = datetime(2026, 11, 29, 12)
"""Time of receipt of requests that state none."""
BUILT_AT = NOON + 2 * DAY
"""Time at which the tables are built; all days until then are."""


@dataclass
class Traffic:
    """A platform with one project, and the replies to what was sent to its collector."""

    platform: Platform
    project: str
    replies: list[Reply]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query over the tables."""
        tables = {name: Files.of(self.platform.lakehouse.snapshot(name)) for name in self.platform.lakehouse.tables}
        used = {name: files for name, files in tables.items() if name in sql}
        found = self.platform.lakehouse.engine.query(SqlModel("query", sql), used)
        return [tuple(row.values()) for row in found.to_pylist()]

    def day(self, metric: str, date: str = "2026-11-29") -> float | None:
        """The daily value of a metric of the project; `None` if there is none."""
        rows = self.rows(
            f"select value from daily_metrics where project_id = '{self.project}' and metric = '{metric}'"
            f" and date = date '{date}'"
        )
        return rows[0][0] if rows else None

    def receive(self, requests: Iterable[Mapping[str, Any]]) -> None:
        """Send more requests to a collector, and build all tables again."""
        self.replies += _replies(self.platform.settings, requests)
        # The days rest from the end of the build before, which took a while.
        with time_machine.travel(BUILT_AT + 2 * REFRESH_EVERY["day"], tick=True):
            self.platform.settle()


def requests_of(case: str) -> list[dict[str, Any]]:
    """The requests of a case in `cases/`: one JSON object a line, with clock (or null), method, path, headers and body."""
    return [json.loads(line) for line in (CASES / case / "requests.jsonl").read_text().splitlines()]


@contextmanager
def received(
    settings: Settings,
    requests: Iterable[Mapping[str, Any]],
    project: str,
    *,
    keys: Iterable[str] = (),
    prepare: Callable[[Platform], None] = lambda _: None,
) -> Iterator[Traffic]:
    """Everything that follows from requests, each received at its time: the landed lines and all tables.

    Args:
        requests: as from `requests_of`.
        project: also the name of the key `key-<project>` that requests use.
        keys: more keys, such as the domain of a Plausible site.
        prepare: called before the tables are built.
    """
    with instance_of(settings) as instance:
        platform = Platform(settings, instance)
        ensure_projects(platform.store, [Project(project)])
        for key in (f"key-{project}", *keys):
            create_key(platform.store, project, value=key)
        replies = _replies(settings, requests)
        prepare(platform)
        with time_machine.travel(BUILT_AT, tick=True):
            platform.settle()
        yield Traffic(platform, project, replies)
        platform.store.close()


def _replies(settings: Settings, requests: Iterable[Mapping[str, Any]]) -> list[Reply]:
    """The replies of a collector to requests, each received at its time."""
    replies = []
    with time_machine.travel(NOON.replace(tzinfo=UTC), tick=False) as clock, serving(settings) as collector:
        for request in requests:
            at = datetime.fromisoformat(request["clock"]) if request.get("clock") else NOON
            clock.move_to(at.replace(tzinfo=UTC), tick=False)
            body = request.get("body")
            if "body_hex" in request:
                content = bytes.fromhex(request["body_hex"])
            elif isinstance(body, str):
                content = body.encode()
            else:
                content = None if body is None else json.dumps(body).encode()
            replies.append(collector.request(request["method"], request["path"], content, request.get("headers")))
    return replies
