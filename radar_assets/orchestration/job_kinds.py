"""Kinds of jobs: the pool that limits how many runs are in progress, and how often and when a failed run is retried.

Each job declares its kind with `tags=KIND.tags()`, and assets their pool with `pool=KIND.pool`. `dagster.yaml` limits the pools, and
`retries.py` retries failed runs.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

KIND_TAG = "radar/kind"
"""Tag of jobs, and so of their runs: the name of their kind."""


class JobKind(NamedTuple):
    """What all jobs of a kind have in common.

    Attributes:
        pool: pool of the assets. None: only the limit of all runs applies.
        retries: maximum retries of a failed run.
        delay: pause before the first retry. It doubles with each retry.
    """

    name: str
    pool: str | None
    retries: int
    delay: timedelta

    def tags(self) -> Mapping[str, str]:
        """The tags that declare it on a job."""
        # A `dagster.yaml` of the operator may enable Dagster's own retries, which would retry each run a second time.
        return {KIND_TAG: self.name, "dagster/max_retries": "0"}


AGGREGATION = JobKind("aggregation", "aggregation", 3, timedelta(seconds=30))
NOTIFICATIONS = JobKind("notifications", "deliveries", 3, timedelta(seconds=30))
# No pool: rules have to be judged while a backfill takes all slots of the others.
MONITORS = JobKind("monitors", None, 1, timedelta(seconds=30))
# Their causes, such as rate limits of a model, take longer to pass.
AI = JobKind("ai", "ai", 2, timedelta(minutes=1))
FEEDBACK = JobKind("feedback", "ai", 2, timedelta(minutes=1))
REPORTS = JobKind("reports", "reports", 3, timedelta(minutes=1))
# What it does not finish, it does the next night.
MAINTENANCE = JobKind("maintenance", "cleanup", 1, timedelta(minutes=5))

KINDS = {kind.name: kind for kind in (AGGREGATION, NOTIFICATIONS, MONITORS, AI, FEEDBACK, REPORTS, MAINTENANCE)}
