"""`radar alerts` and `radar deliveries`: alerts, what people do about them, and the messages that were sent."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from radar_assets.access.shell import shell_user
from radar_assets.cli.arguments import Span
from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list, readable
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, age, out, print_facts, printable
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from radar_assets.store.database import Store
    from radar_assets.store.models import Alert

alerts_app = App(name="alerts", help="List, show, acknowledge and snooze alerts.", group_parameters=OPTIONS)
deliveries_app = App(
    name="deliveries",
    help="List messages, and retry or drop those that were given up.",
    group_parameters=OPTIONS,
)
_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}
_STATES = {"dead": "red", "pending": "yellow", "delivered": "green", "dropped": "dim", "suppressed": "dim"}
_STATE_COLUMN = Column("state", style=lambda state: _STATES.get(state, ""))
SHORT_ID = 8
ENDED = {"resolved": "resolved", "ended_without_data": "ended without data"}
"""States of alerts that have ended, in words."""
_ALERT_DATA = (
    *("kind", "project_id", "subject", "state", "ended_at", "no_data_since", "resolved_at"),
    *("acknowledged_by", "snoozed_until"),
)
"""Fields of an alert that only CSV and JSON have."""


@alerts_app.command(name="list")
def list_alerts(*, all: bool = False, project: str | None = None, limit: int = 50, format: Format = "table") -> None:
    """List alerts that have not ended, the latest first.

    Parameters
    ----------
    all
        Include alerts that have ended.
    project
        Only alerts of this project.
    limit
        Maximum number of alerts.
    format
        Output format.
    """
    from radar_assets.alerts.records import list_alerts as listed

    now = utc_now()
    columns = [
        Column("id", short=SHORT_ID),
        Column("rule"),
        Column("severity", style=lambda severity: _COLOURS.get(severity, ""), rank=1),
        Column("where", heading="project", only="table"),
        Column("started_at", heading="since"),
        Column("status", heading="state", only="table"),
        *(Column(field, only="data") for field in _ALERT_DATA),
    ]
    rows = (
        (
            alert.id,
            alert.rule,
            alert.severity,
            alert.project_id or alert.subject or "the platform",
            alert.started_at,
            _state(alert, now),
            *(getattr(alert, field) for field in _ALERT_DATA),
        )
        for alert in listed(open_projects(), shown="all" if all else "open", project_id=project, limit=limit)
    )
    empty = "No alerts." if all else "No alert is firing; --all includes those that have ended."
    print_list(columns, rows, format, empty=empty)


@alerts_app.command
def show(alert: str, /) -> None:
    """Show an alert: its numbers, its windows and the messages about it.

    Parameters
    ----------
    alert
        Its id, or the start of it.
    """
    from radar_assets.alerts.records import describe
    from radar_assets.alerts.rules import load_rules
    from radar_assets.alerts.wording import percent

    store = open_projects()
    found, breaches, deliveries = describe(store, alert)
    console = out()
    headline, description, facts = _in_words(store, found)
    for line in filter(None, (headline, description)):
        console.print(printable(line), style="bold" if line == headline else "", markup=False)
    console.print()
    print_facts([("Id", found.id), ("State", _state(found, utc_now())), ("Severity", found.severity), *facts])
    console.print()
    # Of rules about changes, the threshold is a change in percent.
    is_change = any(rule.name == found.rule and rule.operator == "change_pct" for rule in load_rules(store))
    columns = [Column("window"), Column("value"), Column("threshold", cell=percent if is_change else readable)]
    print_list(columns, [(breach.window_start, breach.value, breach.threshold) for breach in breaches])
    if not deliveries:
        return
    console.print()
    columns = [Column("delivery", short=SHORT_ID), Column("channel"), Column("about"), _STATE_COLUMN, Column("at")]
    rows = []
    for row in deliveries:
        reasons = sorted(
            {notice["reason"].replace("_", " ") for notice in row.contents if notice["alert_id"] == found.id}
        )
        rows.append((row.id, row.channel, ", ".join(reasons), row.state, row.delivered_at or row.next_attempt_at))
    print_list(columns, rows)


def _in_words(store: "Store", alert: "Alert") -> tuple[str, str, list[tuple[str, str]]]:
    """Headline, description and facts of an alert, in the words of messages about it."""
    from radar_assets.alerts.rules import load_rules
    from radar_assets.alerts.showing import context_of, words_of
    from radar_assets.alerts.wording import moment
    from radar_assets.cli.ui_address import find_ui
    from radar_assets.config import load_metrics
    from radar_assets.metrics.registry import registry
    from radar_assets.settings import load_settings

    settings = load_settings()
    rule = next((rule for rule in load_rules(store) if rule.name == alert.rule), None)
    metrics = registry(load_metrics(settings.config_file))
    ui_url = settings.ui_url or find_ui(settings)
    words = words_of(alert, rule, context_of(store, metrics, settings, utc_now(), ui_url=ui_url))
    announced = ("Announced", moment(alert.announced_at) if alert.announced_at else "no")
    links = [("Link", words.link)] if words.link else []
    return words.headline, words.description, [*words.facts, announced, *links]


@alerts_app.command
def ack(alert: str, /, *, by: str | None = None) -> None:
    """Acknowledge an alert; no reminders of it are sent while it lasts.

    Parameters
    ----------
    alert
        Its id, or the start of it.
    by
        Your name. Default: the user of this machine.
    """
    from radar_assets.alerts.records import acknowledge

    store = open_projects()
    found = acknowledge(store, alert, (by or shell_user())[:200], utc_now())
    audit(
        store,
        "alert.acknowledge",
        found.id,
        project_id=found.project_id or None,
        rule=found.rule,
        by=found.acknowledged_by,
    )
    out().print(
        f"Acknowledged {printable(found.rule)} ({found.id[:8]}) as {printable(str(found.acknowledged_by))}.",
        markup=False,
    )


@alerts_app.command
def snooze(alert: str, /, duration: Span = "4h") -> None:
    """Silence an alert for a while.

    Parameters
    ----------
    alert
        Its id, or the start of it.
    duration
        How long, such as 30m, 4h or 2d.
    """
    from radar_assets.alerts.records import snooze as snoozed
    from radar_assets.alerts.rules import parse_span

    now, store = utc_now(), open_projects()
    found = snoozed(store, alert, now + parse_span(duration), now)
    audit(store, "alert.snooze", found.id, project_id=found.project_id or None, rule=found.rule, duration=duration)
    out().print(
        f"Snoozed {printable(found.rule)} ({found.id[:8]}) until {found.snoozed_until:%Y-%m-%d %H:%M} UTC.",
        markup=False,
    )


State = Literal["pending", "delivered", "dead", "dropped", "suppressed"]


@deliveries_app.command(name="list")
def list_deliveries(
    *,
    state: Annotated[list[State] | None, Parameter(negative="")] = None,
    limit: int = 50,
    format: Format = "table",
) -> None:
    """List messages, the newest first.

    Parameters
    ----------
    state
        Only messages in this state; can be repeated. Messages that were given up are dead.
    limit
        Maximum number of messages.
    format
        Output format.
    """
    from radar_assets.messaging.outbox import latest

    columns = [
        Column("id", short=SHORT_ID),
        Column("channel"),
        _STATE_COLUMN,
        Column("alerts", rank=3),
        Column("attempts", rank=2),
        Column("created_at", heading="since", rank=1),
        Column("error", heading="why", optional=True),
        Column("delivered_at", only="data"),
        Column("next_attempt_at", only="data"),
    ]
    rows = (
        (
            row.id,
            row.channel,
            row.state,
            len(row.contents),
            row.attempts,
            row.created_at,
            row.error,
            row.delivered_at,
            row.next_attempt_at,
        )
        for row in latest(open_projects(), state or (), limit)
    )
    print_list(columns, rows, format, empty="No messages.")


@deliveries_app.command
def retry(delivery: str, /) -> None:
    """Send a dead, dropped or suppressed message again, under the same id.

    Parameters
    ----------
    delivery
        Its id, or the start of it.
    """
    from radar_assets.messaging.outbox import retry as sent_again

    store = open_projects()
    row = sent_again(store, delivery, utc_now())
    audit(store, "delivery.retry", row.id, channel=row.channel)
    out().print(f"Message {row.id[:8]} to {printable(row.channel)} will be sent again.", markup=False)


@deliveries_app.command
def drop(delivery: str, /) -> None:
    """Give up a message for good; the check every_delivery_arrived no longer fails because of it.

    Parameters
    ----------
    delivery
        Its id, or the start of it.
    """
    from radar_assets.messaging.outbox import drop as dropped

    store = open_projects()
    row = dropped(store, delivery)
    audit(store, "delivery.drop", row.id, channel=row.channel)
    out().print(f"Dropped message {row.id[:8]} to {printable(row.channel)}.", markup=False)


def _state(alert: "Alert", now: datetime) -> str:
    if alert.state in ENDED:
        return f"{ENDED[alert.state]} {alert.resolved_at:%Y-%m-%d %H:%M}" if alert.resolved_at else ENDED[alert.state]
    parts = [f"no data since {alert.no_data_since:%Y-%m-%d %H:%M}"] if alert.no_data_since else []
    parts += [f"acknowledged by {alert.acknowledged_by}"] if alert.acknowledged_by else []
    if alert.snoozed_until and alert.snoozed_until > now:
        parts.append(f"snoozed, {age(alert.snoozed_until - now)} left")
    return "; ".join(parts) or "firing"
