"""The pages of alerts: the list, each alert with its chart, history and messages, and the signed links of messages.

People see and change only alerts of their projects; those of the platform need a role for all projects. The signed links work without
a login. Opening one changes nothing, because mail scanners open links: it shows a form, whose submission does.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from radar_assets.access.projects import list_projects
from radar_assets.access.roles import Principal, Role
from radar_assets.alerts import links, records
from radar_assets.alerts.announcements import Context
from radar_assets.alerts.chart import draw
from radar_assets.alerts.links import PAGES, Action, Grant, LinkError
from radar_assets.alerts.measuring import history
from radar_assets.alerts.notices import Notice
from radar_assets.alerts.records import Shown
from radar_assets.alerts.rules import Rule, load_rules
from radar_assets.alerts.settings import AlertSettings
from radar_assets.alerts.showing import context_of, notice_now, timeline, words_of
from radar_assets.alerts.wording import moment, number, percent, span
from radar_assets.api.actions import Record, note
from radar_assets.api.identity import identity_of
from radar_assets.api.pages import HEADERS, page
from radar_assets.api.routing import Endpoint, RadarRoute, signed_in
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.metrics.registry import Metric
from radar_assets.store.database import Store
from radar_assets.store.models import OPEN_STATES, Alert, AlertBreach, Delivery, FieldError
from radar_assets.windows import utc_now

logger = logging.getLogger(__name__)

PAGE = 50
MAX_WINDOWS = 50
CHARTS = 2
"""Charts that are drawn at once; each takes a core for about a second."""
_STATES: dict[Shown, str] = {
    "open": "Firing",
    "unacknowledged": "Not acknowledged",
    "ended": "Ended",
    "all": "All",
}
_VERBS: dict[Action, str] = {"ack": "Acknowledge", "snooze": f"Snooze for {span(links.SNOOZE)}"}
_ACTED: dict[Action, str] = {"ack": "acknowledge", "snooze": "snooze"}
"""What the audit log calls the actions, as it does those of commands."""
_QUESTIONS: dict[Action, str] = {
    "ack": "Acknowledge this alert? Reminders and escalation stop while it lasts.",
    "snooze": f"Snooze this alert for {span(links.SNOOZE)}? Nothing is announced about it in this time.",
}


@dataclass(frozen=True)
class Shape:
    """An alert as the pages show it."""

    id: str
    headline: str
    tone: str
    badge: str
    summary: str


@dataclass(frozen=True)
class AlertPages:
    """The pages of one home.

    Attributes:
        metrics: the registry as it is now.
        lakehouse: has the values for charts.
    """

    store: Store
    lakehouse: Lakehouse
    metrics: Callable[[], Sequence[Metric]]
    settings: AlertSettings

    def context(self) -> Context:
        """What the words of alerts depend on, now."""
        # Of the address of a check, the pages use only the path.
        return context_of(self.store, self.metrics(), self.settings, utc_now(), ui_url="http://localhost")

    def rules(self) -> dict[str, Rule]:
        """The rules that were applied, by name."""
        return {rule.name: rule for rule in load_rules(self.store)}

    def find(self, alert_id: str) -> tuple[Alert, list[AlertBreach], list[Delivery]] | None:
        """An alert by its full id, with its windows and messages."""
        with suppress(FieldError):
            found = records.describe(self.store, alert_id)
            return found if found[0].id == alert_id else None
        return None

    def key(self) -> str:
        """The key of signed links."""
        return links.link_key(self.settings.home)


def alert_routes(pages: AlertPages) -> list[RadarRoute]:
    """The routes of the pages. Those of signed links are public."""
    drawing = asyncio.Semaphore(CHARTS)

    async def show_list(request: Request) -> Response:
        values = await asyncio.to_thread(_listed, pages, request, signed_in(request).principal)
        return page(request, "alerts.html", signed_in(request), title="Alerts", **values)

    async def show(request: Request) -> Response:
        found = await asyncio.to_thread(_visible, pages, request, Role.VIEWER)
        if found is None:
            return _missing(request)
        may = _may(signed_in(request).principal, Role.OPERATOR, found[0])
        values = await asyncio.to_thread(_details, pages, *found, may=may)
        return page(request, "alert.html", signed_in(request), **values)

    async def chart(request: Request) -> Response:
        async with drawing:
            png = await asyncio.to_thread(_chart, pages, request)
        if png is None:
            return _missing(request)
        return Response(png, media_type="image/png", headers={**HEADERS, "Cache-Control": "private, max-age=60"})

    def act(action: Action) -> Endpoint:
        async def acted(request: Request) -> Response:
            principal = signed_in(request).principal
            found = await asyncio.to_thread(_visible, pages, request, Role.VIEWER)
            if found is None:
                return _missing(request)
            alert = found[0]
            if not _may(principal, Role.OPERATOR, alert):
                await note(_record(request), request, principal, f"alert.{_ACTED[action]}", alert.id, result="refused")
                return _told(request, 403, "Not allowed", "This needs the role operator for the project of the alert.")
            if links.is_pending(alert, action, utc_now()):
                await note(_record(request), request, principal, f"alert.{_ACTED[action]}", alert.id)
                await asyncio.to_thread(links.take, pages.store, alert.id, action, principal.name, utc_now())
            return RedirectResponse(f"{PAGES}/{alert.id}", 303, HEADERS)

        return acted

    async def ask(request: Request) -> Response:
        return await _followed(pages, request)

    async def confirm(request: Request) -> Response:
        return await _confirmed(pages, request)

    viewer, operator = Role.VIEWER, Role.OPERATOR
    one = f"{PAGES}/{{alert_id}}"
    return [
        RadarRoute("GET", PAGES, show_list, viewer, of_projects=True),
        RadarRoute("GET", f"{PAGES}/link/{{token}}", ask, None),
        RadarRoute("POST", f"{PAGES}/link/{{token}}", confirm, None),
        RadarRoute("GET", one, show, viewer, of_projects=True),
        RadarRoute("GET", f"{one}/chart.png", chart, viewer, of_projects=True),
        *(RadarRoute("POST", f"{one}/{action}", act(action), operator, of_projects=True) for action in links.ACTIONS),
    ]


def _listed(pages: AlertPages, request: Request, principal: Principal) -> dict[str, Any]:
    """The values of the list."""
    given, now = request.query_params, utc_now()
    shown: Shown = "open"
    for value in get_args(Shown):
        shown = value if given.get("state") == value else shown
    project, start = given.get("project") or "", given.get("start") or ""
    offset = int(start) if start.isascii() and start.isdigit() and len(start) < 8 else 0
    found = records.list_alerts(
        pages.store,
        shown=shown,
        project_id=project or None,
        visible=principal.projects,
        limit=PAGE + 1,
        offset=offset,
    )
    rules, context = pages.rules(), pages.context()

    def at(place: int) -> str:
        return f"{PAGES}?{urlencode({'state': shown, 'project': project, 'start': place})}"

    return {
        "states": list(_STATES.items()),
        "state": shown,
        "project": project,
        "projects": [
            (one.id, one.name)
            for one in list_projects(pages.store)
            if principal.projects is None or one.id in principal.projects
        ],
        "now": moment(now),
        "alerts": [_shape(alert, rules.get(alert.rule), context) for alert in found[:PAGE]],
        "earlier": at(offset + PAGE) if len(found) > PAGE else "",
        "later": at(max(0, offset - PAGE)) if offset else "",
    }


def _details(
    pages: AlertPages, alert: Alert, breaches: list[AlertBreach], deliveries: list[Delivery], *, may: bool
) -> dict[str, Any]:
    """The values of an alert's page.

    Args:
        may: whether the reader may act.
    """
    rule, context = pages.rules().get(alert.rule), pages.context()
    words, shape = words_of(alert, rule, context), _shape(alert, rule, context)
    notice = notice_now(alert, rule, context) if rule else None
    unit = notice.unit if notice else None
    is_change = rule is not None and rule.operator == "change_pct"
    check = urlsplit(notice.check_url or "") if notice else None
    return {
        "title": shape.headline,
        "alert": shape,
        "rule": alert.rule,
        "description": words.description,
        "facts": words.facts,
        "actions": [
            (action, _VERBS[action]) for action in links.ACTIONS if may and links.is_pending(alert, action, context.now)
        ],
        # The page is on the same host.
        "check": f"{check.path}?{check.query}" if check and check.path else "",
        "chart": f"{notice.metric_title or notice.metric} around the alert" if notice and notice.metric else "",
        "history": [(moment(at), what) for at, what in timeline(alert)],
        "messages": [_message(row, alert) for row in deliveries],
        "windows": [
            {
                "start": moment(breach.window_start, zone=notice.zone if notice else "UTC"),
                "value": number(breach.value, unit),
                "threshold": percent(breach.threshold) if is_change else number(breach.threshold, unit),
            }
            for breach in reversed(breaches[-MAX_WINDOWS:])
        ],
        "more_windows": max(0, len(breaches) - MAX_WINDOWS),
    }


def _message(row: Delivery, alert: Alert) -> dict[str, str]:
    reasons = {str(notice["reason"]).replace("_", " ") for notice in row.contents if notice["alert_id"] == alert.id}
    state = f"{row.state}: {row.error}" if row.error and row.state != "delivered" else row.state
    at = row.delivered_at or row.created_at
    return {"at": moment(at), "channel": row.channel, "about": ", ".join(sorted(reasons)), "state": state}


def _shape(alert: Alert, rule: Rule | None, context: Context) -> Shape:
    words = words_of(alert, rule, context)
    is_open = alert.state in OPEN_STATES
    project = context.project_names.get(alert.project_id, alert.project_id) or "Radar itself"
    return Shape(
        id=alert.id,
        headline=words.headline,
        tone=alert.severity if is_open else "over",
        badge=f"{words.state} · {alert.severity}" if is_open else words.state,
        summary=f"{project}, {state_words(alert, context.now)}",
    )


def state_words(alert: Alert, now: datetime) -> str:
    """The state of an alert, and what people have done about it."""
    if alert.state not in OPEN_STATES:
        ended = "ended without data" if alert.state == "ended_without_data" else "recovered"
        parts = [f"{ended} {moment(alert.resolved_at)}" if alert.resolved_at else ended]
    else:
        parts = ["firing" if alert.state == "firing" else "no data"]
    if alert.acknowledged_by:
        parts.append(f"acknowledged by {alert.acknowledged_by}")
    elif alert.state in OPEN_STATES:
        parts.append("not acknowledged")
    if alert.state in OPEN_STATES and alert.snoozed_until and alert.snoozed_until > now:
        parts.append(f"snoozed until {moment(alert.snoozed_until)}")
    return ", ".join(parts)


def _chart(pages: AlertPages, request: Request) -> bytes | None:
    found = _visible(pages, request, Role.VIEWER)
    rule = pages.rules().get(found[0].rule) if found else None
    if found is None or rule is None:
        return None
    notice: Notice = notice_now(found[0], rule, pages.context())
    try:
        return draw(notice, history(pages.lakehouse, notice, pages.metrics()))
    except Exception:
        # The page is worth showing without its chart.
        logger.exception("The chart of alert %s could not be drawn", found[0].id)
        return None


def _visible(pages: AlertPages, request: Request, role: Role) -> tuple[Alert, list[AlertBreach], list[Delivery]] | None:
    """The alert that a request names, if the reader has a role for it."""
    found = pages.find(request.path_params["alert_id"])
    return found if found and _may(signed_in(request).principal, role, found[0]) else None


def _may(principal: Principal, role: Role, alert: Alert) -> bool:
    return principal.may(role, alert.project_id or None)


async def _followed(pages: AlertPages, request: Request) -> Response:
    """The page of a signed link. It changes nothing."""
    try:
        grant, alert = await asyncio.to_thread(_granted, pages, request)
    except LinkError as error:
        return _told(request, 404, "The link can't be used", str(error))
    return await _link_page(pages, request, grant, alert)


async def _confirmed(pages: AlertPages, request: Request) -> Response:
    """Take the action of a signed link, once."""
    try:
        grant, alert = await asyncio.to_thread(_granted, pages, request)
    except LinkError as error:
        return _told(request, 404, "The link can't be used", str(error))
    identity = identity_of(request.scope)
    # A link is like a token for one action. The audit log names it, and the channel that it was sent to.
    link = Principal("token", f"link:{grant.channel}", f"a link sent to {grant.channel}", Role.OPERATOR)
    principal = identity.principal if identity else link
    if links.is_pending(alert, grant.action, utc_now()):
        await note(
            _record(request), request, principal, f"alert.{_ACTED[grant.action]}", alert.id, link_sent_to=grant.channel
        )
        await asyncio.to_thread(links.take, pages.store, alert.id, grant.action, principal.name, utc_now())
    # Reloading the page that follows sends no form.
    return RedirectResponse(request.url.path, 303, HEADERS)


def _granted(pages: AlertPages, request: Request) -> tuple[Grant, Alert]:
    grant = links.read_link(pages.key(), request.path_params["token"])
    found = pages.find(grant.alert_id)
    if found is None:
        raise LinkError("The alert no longer exists.")
    return grant, found[0]


async def _link_page(pages: AlertPages, request: Request, grant: Grant, alert: Alert) -> Response:
    rules, context = await asyncio.to_thread(lambda: (pages.rules(), pages.context()))
    shape = _shape(alert, rules.get(alert.rule), context)
    is_pending = links.is_pending(alert, grant.action, context.now)
    done = "acknowledged" if grant.action == "ack" else "snoozed"
    outcome = f"The alert is {done}." if alert.state in OPEN_STATES else "The alert has ended; there is nothing to do."
    return page(
        request,
        "alert_link.html",
        identity_of(request.scope),
        title=_VERBS[grant.action],
        alert=shape,
        words=_VERBS[grant.action],
        question=_QUESTIONS[grant.action] if is_pending else "",
        outcome=outcome,
    )


def _missing(request: Request) -> Response:
    return _told(request, 404, "Unknown alert", "There is no such alert, or your role is not for its project.")


def _told(request: Request, status: int, title: str, message: str) -> Response:
    return page(request, "message.html", identity_of(request.scope), status, title=title, message=message)


def _record(request: Request) -> Record:
    return request.app.state.record
