"""`radar alerts` and `radar deliveries`: alerts, what people do about them, and the messages that were sent."""

import getpass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, age, out, printable
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from radar_assets.store.models import Alert

alerts_app = App(name="alerts", help="List, show, acknowledge and snooze alerts.", group_parameters=OPTIONS)
deliveries_app = App(
    name="deliveries",
    help="List messages, and retry or drop those that were given up.",
    group_parameters=OPTIONS,
)
_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}
_STATES = {"dead": "red", "pending": "yellow", "delivered": "green", "dropped": "dim", "suppressed": "dim"}


@alerts_app.command(name="list")
def list_alerts(*, all: bool = False, project: str | None = None, limit: int = 50) -> None:
    """List firing alerts, the latest first.

    Parameters
    ----------
    all
        Include alerts that have ended.
    project
        Only alerts of this project.
    limit
        Maximum number of alerts.
    """
    from rich.table import Table
    from rich.text import Text

    from radar_assets.alerts.records import list_alerts as listed

    table = Table("id", "rule", "severity", "project", "since", "state", show_edge=False)
    now = utc_now()
    for alert in listed(open_projects(), with_ended=all, project_id=project, limit=limit):
        where = Text(printable(alert.project_id or alert.subject or "the platform"), overflow="fold")
        severity = Text(alert.severity, style=_COLOURS.get(alert.severity, ""))
        since = f"{alert.started_at:%Y-%m-%d %H:%M}"
        table.add_row(
            alert.id[:8], Text(printable(alert.rule)), severity, where, since, Text(printable(_state(alert, now)))
        )
    out().print(
        table
        if table.row_count
        else "No alerts."
        if all
        else "No alert is firing; --all includes those that have ended."
    )


@alerts_app.command
def show(alert: str, /) -> None:
    """Show an alert: its numbers, its windows and the messages about it.

    Parameters
    ----------
    alert
        Its id, or the start of it.
    """
    from rich.table import Table
    from rich.text import Text

    from radar_assets.alerts.records import describe

    found, breaches, deliveries = describe(open_projects(), alert)
    now = utc_now()
    facts = {
        "id": found.id,
        "rule": found.rule,
        "kind": f"{found.kind}, {found.severity}",
        "project": found.project_id or "the platform itself",
        "about": found.subject,
        "state": _state(found, now),
        "windows": f"{found.started_at:%Y-%m-%d %H:%M} to {found.ended_at:%Y-%m-%d %H:%M} UTC",
        "what": str(found.details.get("text") or ""),
        "announced": f"{found.announced_at:%Y-%m-%d %H:%M} UTC" if found.announced_at else "no",
    }
    console = out()
    for name, value in facts.items():
        if value:
            console.print(Text(f"{name:10}{printable(value)}"), soft_wrap=True)
    table = Table("window", "value", "threshold", show_edge=False)
    for breach in breaches:
        value = "none" if breach.value is None else f"{breach.value:,g}"
        table.add_row(f"{breach.window_start:%Y-%m-%d %H:%M}", value, f"{breach.threshold:,g}")
    console.print()
    console.print(table)
    if deliveries:
        console.print()
        sent = Table("delivery", "channel", "about", "state", "at", show_edge=False)
        for row in deliveries:
            reasons = ", ".join(sorted({notice["reason"] for notice in row.contents if notice["alert_id"] == found.id}))
            at = row.delivered_at or row.next_attempt_at
            state = Text(row.state, style=_STATES.get(row.state, ""))
            sent.add_row(row.id[:8], Text(printable(row.channel)), reasons, state, f"{at:%Y-%m-%d %H:%M}")
        console.print(sent)


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

    found = acknowledge(open_projects(), alert, (by or getpass.getuser())[:200], utc_now())
    out().print(
        f"Acknowledged {printable(found.rule)} ({found.id[:8]}) as {printable(str(found.acknowledged_by))}.",
        markup=False,
    )


@alerts_app.command
def snooze(alert: str, /, duration: str = "4h") -> None:
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

    now = utc_now()
    found = snoozed(open_projects(), alert, now + parse_span(duration), now)
    out().print(
        f"Snoozed {printable(found.rule)} ({found.id[:8]}) until {found.snoozed_until:%Y-%m-%d %H:%M} UTC.",
        markup=False,
    )


State = Literal["pending", "delivered", "dead", "dropped", "suppressed"]


@deliveries_app.default
def list_deliveries(*, state: Annotated[list[State] | None, Parameter(negative="")] = None, limit: int = 50) -> None:
    """List messages, the newest first.

    Parameters
    ----------
    state
        Only messages in this state; can be repeated. Messages that were given up are dead.
    limit
        Maximum number of messages.
    """
    from rich.table import Table
    from rich.text import Text

    from radar_assets.messaging.outbox import latest

    table = Table("id", "channel", "state", "alerts", "attempts", "since", "why", show_edge=False)
    for row in latest(open_projects(), state or (), limit):
        table.add_row(
            row.id[:8],
            Text(printable(row.channel)),
            Text(row.state, style=_STATES.get(row.state, "")),
            str(len(row.contents)),
            str(row.attempts),
            f"{row.created_at:%Y-%m-%d %H:%M}",
            Text(printable(row.error or ""), overflow="fold"),
        )
    out().print(table if table.row_count else "No messages.")


@deliveries_app.command
def retry(delivery: str, /) -> None:
    """Send a dead, dropped or suppressed message again, under the same id.

    Parameters
    ----------
    delivery
        Its id, or the start of it.
    """
    from radar_assets.messaging.outbox import retry as sent_again

    row = sent_again(open_projects(), delivery, utc_now())
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

    row = dropped(open_projects(), delivery)
    out().print(f"Dropped message {row.id[:8]} to {printable(row.channel)}.", markup=False)


def _state(alert: "Alert", now: datetime) -> str:
    if alert.state == "resolved":
        return f"resolved {alert.resolved_at:%Y-%m-%d %H:%M}" if alert.resolved_at else "resolved"
    if alert.snoozed_until and alert.snoozed_until > now:
        return f"snoozed, {age(alert.snoozed_until - now)} left"
    if alert.acknowledged_by:
        return f"acknowledged by {alert.acknowledged_by}"
    return "firing"
