"""Sending to chats with apprise.

apprise sends with `requests` as its modules find it. Here those modules are private copies in which that name is a session of
`transport/http.py`, so that hosts, time and answers are bounded as everywhere, and apprise stays as it is for the rest of the process.
"""

import contextvars
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from radar_assets.messaging.channel import Transport
from radar_assets.messaging.failures import PermanentError, SendError, TemporaryError
from radar_assets.messaging.message import Priority
from radar_assets.messaging.plain_text import line

if TYPE_CHECKING:
    from radar_assets.messaging.transport.http import Exchange, Session

_BUSY = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
"""Errors that Slack returns with status 200 and that are temporary."""


@dataclass(frozen=True)
class Notification:
    """A message as apprise takes it.

    Attributes:
        plugin: module and class of apprise.
        options: arguments of the class.
        secrets: removed from what the other side answers.
    """

    plugin: tuple[str, str]
    options: Mapping[str, Any]
    title: str
    text: str
    urgency: Priority
    is_good: bool
    secrets: tuple[str, ...]


def send(notification: Notification, transport: Transport) -> None:
    """Send a message.

    Raises:
        SendError: it was not accepted.
    """
    from radar_assets.messaging.transport.http import guarded

    with guarded(transport.allowed_hosts, transport.timeout_s) as session:
        token = _session.set(session)
        try:
            accepted = _notify(notification)
        finally:
            _session.reset(token)
    failure = _outcome(accepted, session.exchanges, notification.secrets)
    if failure:
        raise failure


_session: "contextvars.ContextVar[Session]" = contextvars.ContextVar("radar_chat_session")
"""Of the message being sent; without one, apprise's modules can't send at all."""
_SILENT = logging.Logger("radar.apprise")
"""apprise would log URLs with their tokens."""
_SILENT.disabled = True


class _Requests:
    """Replaces `requests` in apprise's modules: the same names, but everything that sends is the session of the message."""

    def __getattr__(self, name: str) -> Any:
        import requests

        if name in ("get", "options", "head", "post", "put", "patch", "delete", "request"):
            return getattr(_session.get(), name)
        if name in ("Session", "session"):
            return _session.get
        return getattr(requests, name)


@cache
def _plugin(module: str, name: str) -> Any:
    """A class of apprise, from a private copy of its module."""
    import importlib.util

    spec = importlib.util.find_spec(f"apprise.plugins.{module}")
    assert spec and spec.loader
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    plugin = getattr(copy, name)
    copy.requests, plugin.logger = _Requests(), _SILENT  # pyright: ignore[reportAttributeAccessIssue]
    if hasattr(copy, "logger"):
        copy.logger = _SILENT  # pyright: ignore[reportAttributeAccessIssue]
    return plugin


def _notify(notification: Notification) -> bool:
    from apprise import AppriseAsset, NotifyType

    # Keeps nothing on disk.
    asset = AppriseAsset(app_id="Radar", app_desc="Radar", storage_mode="memory", secure_logging=True)
    try:
        target = _plugin(*notification.plugin)(asset=asset, schema="radar", **notification.options)
    except TypeError:
        # The text of the error would repeat the field.
        return False
    # apprise would sleep for as long as the other side asks; retries are up to the outbox.
    target.throttle = lambda *_, **__: None
    kind = NotifyType.FAILURE
    if notification.is_good:
        kind = NotifyType.SUCCESS
    elif notification.urgency in ("low", "medium"):
        kind = NotifyType.WARNING
    return bool(target.notify(body=notification.text, title=notification.title, notify_type=kind))


def _outcome(accepted: bool, exchanges: "list[Exchange]", secrets: tuple[str, ...]) -> SendError | None:
    from radar_assets.messaging.transport.http import verdict

    if not exchanges:
        return PermanentError("apprise rejected the settings of the channel; check its fields")
    last = exchanges[-1]
    failure = verdict(last)
    if accepted and failure is None:
        return None
    reason = _reason(last, secrets)
    if failure is None:
        # Some chats refuse with a 2xx status.
        kind = TemporaryError if reason in _BUSY or not reason else PermanentError
        return kind(f"{last.host} rejected the message{f': {reason}' if reason else ''}")
    text = f"{failure}{f' ({reason})' if reason else ''}"
    if isinstance(failure, TemporaryError):
        return TemporaryError(text, failure.retry_after or _asked_to_wait(last))
    return PermanentError(text)


def _reason(exchange: "Exchange", secrets: tuple[str, ...]) -> str:
    """The reason that a response gives, shortened and without the secrets that it may repeat."""
    content = _json(exchange)
    found = next((content[key] for key in ("error", "description", "message", "errmsg") if content.get(key)), None)
    if found is None and re.fullmatch(rb"[a-z_]{3,60}", exchange.body.strip()):
        found = exchange.body.strip().decode()
    text = line(str(found), 200) if isinstance(found, str) else ""
    # Some repeat the request; nothing is shown that may contain a piece of a secret.
    pieces = (secret[at : at + 8] for secret in secrets for at in range(max(1, len(secret) - 7)))
    return "" if any(piece in text for piece in pieces) else text[:120]


def _asked_to_wait(exchange: "Exchange") -> timedelta | None:
    """The wait that Telegram, Discord and Matrix ask for in the body."""
    from radar_assets.messaging.transport.http import retry_after

    content = _json(exchange)
    parameters = content.get("parameters")
    seconds = (parameters if isinstance(parameters, dict) else content).get("retry_after")
    if isinstance(milliseconds := content.get("retry_after_ms"), int | float):
        seconds = milliseconds / 1000
    return retry_after(str(seconds)) if isinstance(seconds, int | float) else None


def _json(exchange: "Exchange") -> dict[str, Any]:
    try:
        content = json.loads(exchange.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
