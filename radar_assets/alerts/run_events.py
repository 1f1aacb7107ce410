"""Events of runs for webhooks: each run that has ended is announced once to every webhook that subscribes to its event.

Runs are read from Dagster's storage by the time of their last change, from where the last tick ended. A tick may read runs again;
the outbox has a key for each run, so none is announced twice.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from radar_assets.messaging.channels.webhook import Body, Event
from radar_assets.messaging.message import Draft, Facts, Link, Message
from radar_assets.messaging.outbox import SEPARATE, new_delivery
from radar_assets.messaging.plain_text import line
from radar_assets.orchestration.retries import is_retried
from radar_assets.orchestration.run_tags import TRIGGERED_BY, partition_span
from radar_assets.store.database import Store
from radar_assets.store.dialects import insert
from radar_assets.store.models import Channel, Delivery

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

KIND = "run"
"""Kind of the deliveries whose contents are runs."""
OVERLAP = timedelta(minutes=5)
"""How much of the time before the last tick is read again: clocks differ, and a change is visible only after its transaction."""
FIRST = timedelta(hours=1)
"""How far back the first tick of a home reads."""
Status = Literal["success", "failure", "canceled"]


class Run(BaseModel):
    """A run that has ended."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Run")

    id: str
    job: str = Field(description="Name of its job; `__ASSET_JOB` for runs that were started from the asset graph.")
    status: Status
    started_at: AwareDatetime | None = Field(description="In UTC; null if it never started.")
    ended_at: AwareDatetime = Field(description="In UTC.")
    first_partition: str | None = Field(
        description="The partition that it was for, or the first of a range; else null."
    )
    last_partition: str | None = Field(description="The last partition of the range; else the same as the first.")
    triggered_by: str | None = Field(description="The user or token that started it; null for sensors and schedules.")
    is_retried: bool = Field(description="Whether Radar retries it, after a failure.")
    url: str | None = Field(description="The run in the UI; null if RADAR_UI_URL is not set.")


class RunData(BaseModel):
    """The run that a message is about."""

    model_config = ConfigDict(extra="forbid", title="Data")

    run: Run


class RunBody(Body):
    __doc__ = Body.__doc__

    model_config = ConfigDict(title="Radar webhook about a run")

    type: Event  # pyright: ignore[reportIncompatibleVariableOverride]
    data: RunData


def schema() -> dict[str, Any]:
    """The JSON schema of webhooks about runs, as `run_webhook.schema.json` has it."""
    address = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": address, **RunBody.model_json_schema(mode="serialization")}


def announce_ended(
    store: Store, instance: "DagsterInstance", ui_url: str | None, cursor: str | None, now: datetime, *, sender: str
) -> tuple[str, int]:
    """Put the messages about runs that have ended into the outbox.

    Args:
        cursor: what the last call returned; None at first.
        now: naive, UTC.
        sender: the job that sends these messages. Its runs are left out, because each message about them would cause another run.

    Returns:
        The cursor of the next call, and the number of new messages.
    """
    with store.session(read_only=True) as session:
        subscribed = _subscribers(session)
    if not subscribed:
        return now.isoformat(), 0
    since = (datetime.fromisoformat(cursor) if cursor else now - FIRST) - OVERLAP
    ended = [record for record in _ended(instance, since) if record.dagster_run.job_name != sender]
    return now.isoformat(), _announce(store, ended, subscribed, ui_url, now)


def render(draft: Draft) -> Message:
    """The message about a run."""
    run = Run.model_validate(draft.contents[0])
    event = event_of(run)
    words = {"success": "completed", "failure": "failed", "canceled": "was canceled"}[run.status]
    headline = line(f"Run {run.id[:8]} of {run.job} {words}", 150)
    partitions = [run.first_partition, *([run.last_partition] if run.last_partition != run.first_partition else [])]
    facts = [("Partition", " to ".join(filter(None, partitions)))] if run.first_partition else []
    facts += [("Triggered by", line(run.triggered_by))] if run.triggered_by else []
    return Message(
        id=draft.id,
        kind=event,
        created_at=draft.created_at,
        subject=headline,
        headline=headline,
        priority="low" if run.status == "success" else "medium",
        is_good=run.status == "success",
        blocks=[Facts(facts), *([Link("run", run.url)] if run.url else [])],
        unsubscribe_group="runs",
        payload=RunData(run=run).model_dump(mode="json"),
    )


def event_of(run: Run) -> Event:
    """The event of a run that has ended. A canceled run counts as failed: its result won't come."""
    return "run.completed" if run.status == "success" else "run.failed"


def _subscribers(session: Session) -> dict[str, list[str]]:
    """The webhooks that subscribe to each event."""
    found: dict[str, list[str]] = {}
    for name, spec in session.execute(sa.select(Channel.name, Channel.spec).order_by(Channel.position)):
        for event in spec.get("events") or () if spec.get("type") == "webhook" else ():
            found.setdefault(event, []).append(name)
    return found


def _ended(instance: "DagsterInstance", since: datetime) -> "Sequence[RunRecord]":
    """The runs that have ended and changed since a time, the oldest change first."""
    from dagster import DagsterRunStatus, RunsFilter

    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    changed = RunsFilter(statuses=ended, updated_after=since.replace(tzinfo=UTC))
    found = instance.get_run_records(changed, order_by="update_timestamp", ascending=True)
    # Runs whose tags have changed only now ended long ago.
    return [record for record in found if _ended_at(record) >= since.replace(tzinfo=UTC)]


def _announce(
    store: Store, ended: "Iterable[RunRecord]", subscribed: dict[str, list[str]], ui_url: str | None, now: datetime
) -> int:
    rows: list[Delivery] = []
    for record in ended:
        run = _run_of(record, ui_url)
        for channel in subscribed.get(event_of(run), ()):
            about = f"{SEPARATE}run"
            content = run.model_dump(mode="json")
            rows.append(new_delivery(KIND, channel, f"run:{run.id}", "medium", about, [content], now))
    if not rows:
        return 0
    columns = [column.key for column in sa.inspect(Delivery).column_attrs]
    values = [{name: getattr(row, name) for name in columns} for row in rows]
    with store.session() as session:
        statement = insert(session, Delivery).on_conflict_do_nothing(index_elements=["channel", "dedupe_key"])
        return len(session.scalars(statement.values(values).returning(Delivery.id)).all())


def _run_of(record: "RunRecord", ui_url: str | None) -> Run:
    from dagster import DagsterRunStatus

    run = record.dagster_run
    statuses: dict[DagsterRunStatus, Status] = {
        DagsterRunStatus.SUCCESS: "success",
        DagsterRunStatus.FAILURE: "failure",
        DagsterRunStatus.CANCELED: "canceled",
    }
    first, last = partition_span(run.tags) or (None, None)
    return Run(
        id=run.run_id,
        job=run.job_name,
        status=statuses[run.status],
        started_at=datetime.fromtimestamp(record.start_time, UTC) if record.start_time else None,
        ended_at=_ended_at(record),
        first_partition=first,
        last_partition=last,
        triggered_by=run.tags.get(TRIGGERED_BY),
        is_retried=run.status == DagsterRunStatus.FAILURE and is_retried(run),
        url=f"{ui_url.rstrip('/')}/runs/{run.run_id}" if ui_url else None,
    )


def _ended_at(record: "RunRecord") -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp.astimezone(UTC)
