"""Chats, by way of apprise: each is a few typed fields, none of which can change where a request goes or what else it says.

apprise sends with `requests` as its modules find it. Here those modules are copies of our own, in which that name is a session of
`http.py`, so that hosts, time and answers are bounded as everywhere, and apprise itself stays as it is for the rest of the process.
"""

import contextvars
import html
import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from radar_assets.alerts import messages
from radar_assets.alerts.channels.addresses import AllowedHosts, check_host
from radar_assets.alerts.channels.failures import PassingError, PermanentError, SendError
from radar_assets.alerts.channels.secrets import Shape, hidden, resolve
from radar_assets.alerts.channels.sending import Destination, Sending
from radar_assets.alerts.messages import SEVERITIES, Message

if TYPE_CHECKING:
    from radar_assets.alerts.channels.http import Exchange, Session

MOST_CHARACTERS = 1900
"""Of a text: Discord takes 2000."""
MOST_LISTED = 10
_BUSY = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
"""Errors that Slack gives with the status 200 and that pass."""


class Markup:
    """How a chat marks text, and how text is written that is to be no markup.

    Args:
        escape: of text that may hold anything.
        bold, code: patterns with a place for escaped text.
        link: likewise, for the address and what it is called.
    """

    def __init__(self, escape: Callable[[str], str], bold: str, code: str, link: str) -> None:
        self._escape, self.bold, self.code, self.link = escape, bold, code, link

    def escape(self, text: str) -> str:
        """Text that shows as it is: no markup, no mention, and no address that the chat would make a link of."""
        # A word joiner can't be seen, and parts what chats look for.
        text = re.sub(r"(?<=@)|(?<=:/)(?=/)|(?<=\bwww)(?=\.)|(?<=:)(?=\w+:)", "\u2060", text, flags=re.IGNORECASE)
        return self._escape(text)


def _backslashes(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]()<>#~|!>])", r"\\\1", text)


def _alike(text: str) -> str:
    """Signs that look like those that would be markup: for chats that have no escape for them, or where apprise has a part in it."""
    text = text.translate(str.maketrans("*~`[]<>|", "∗∼ˋ［］‹›∣"))
    return re.sub(r"(?<!\w)_|_(?!\w)", "＿", text)


PLAIN = Markup(str, "{}", "{}", "{1}: {0}")
COMMONMARK = Markup(_backslashes, "**{}**", "`{}`", "[{1}](<{0}>)")
SIMPLE = Markup(_alike, "*{}*", "`{}`", "[{1}]({0})")
SLACK = Markup(_alike, "*{}*", "`{}`", "<{0}|{1}>")
GOOGLE = Markup(_alike, "*{}*", "`{}`", "<{0}|{1}>")
ADAPTIVE_CARD = Markup(_alike, "**{}**", "{}", "[{1}]({0})")
TELEGRAM_HTML = Markup(html.escape, "<b>{}</b>", "<code>{}</code>", '<a href="{0}">{1}</a>')

Token = Annotated[SecretStr, Shape(r"[A-Za-z0-9._~+=-]{8,400}", "token")]


class Chat(Destination):
    """Base of chats.

    Attributes:
        plugin: apprise's module and class.
        markup: how it marks text.
        titled: whether it shows a title above the text.
    """

    plugin: ClassVar[tuple[str, str]]
    markup: ClassVar[Markup] = PLAIN
    titled: ClassVar[bool] = False

    @property
    def where(self) -> str:
        return str(getattr(self, "host", type(self).__name__))

    def options(self, message: Message) -> dict[str, Any]:
        """What apprise's class is made with."""
        raise NotImplementedError


class HostedChat(Chat):
    """Base of chats that teams run on a host of their own.

    Attributes:
        tls: only a host that RADAR_ALERT_ALLOWED_HOSTS allows may be spoken to without.
    """

    host: str
    port: int | None = Field(default=None, ge=1, le=65535)
    tls: bool = True

    @model_validator(mode="after")
    def _may_be_sent_to(self, info: ValidationInfo) -> "HostedChat":
        check_host(self.host, AllowedHosts((info.context or {}).get("allowed_hosts", ())), plain=not self.tls)
        return self

    def _there(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "secure": self.tls}


class Slack(Chat):
    """An incoming webhook of Slack.

    Attributes:
        token: what follows `https://hooks.slack.com/services/` in its URL.
    """

    plugin = ("slack", "NotifySlack")
    markup = SLACK
    type: Literal["slack"]
    token: Annotated[
        SecretStr, Shape(r"T[A-Z0-9]{2,30}/B[A-Z0-9]{2,30}/[A-Za-z0-9]{8,60}", "token; write it as T.../B.../...")
    ]

    def options(self, message: Message) -> dict[str, Any]:
        first, second, third = self.token.get_secret_value().split("/")
        return {"token_a": first, "token_b": second, "token_c": third, "include_image": False, "include_footer": False}


class Discord(Chat):
    """A webhook of Discord.

    Attributes:
        webhook_id, token: the two last parts of its URL.
        thread: id of a thread.
    """

    plugin = ("discord", "NotifyDiscord")
    markup = COMMONMARK
    type: Literal["discord"]
    webhook_id: str = Field(pattern=r"^[0-9]{5,25}$")
    token: Annotated[SecretStr, Shape(r"[A-Za-z0-9_-]{16,120}", "token")]
    thread: str | None = Field(default=None, pattern=r"^[0-9]{5,25}$")

    def options(self, message: Message) -> dict[str, Any]:
        token = self.token.get_secret_value()
        return {"webhook_id": self.webhook_id, "webhook_token": token, "thread": self.thread, "avatar": False}


class Telegram(Chat):
    """A chat that a bot of Telegram is in.

    Attributes:
        chat: its number, or @name of a channel.
        topic: number of a topic in it.
    """

    plugin = ("telegram", "NotifyTelegram")
    markup = TELEGRAM_HTML
    type: Literal["telegram"]
    token: Annotated[SecretStr, Shape(r"[0-9]{5,20}:[A-Za-z0-9_-]{20,60}", "token; write it as 123456:ABC...")]
    chat: str = Field(pattern=r"^(-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,40})$", coerce_numbers_to_str=True)
    topic: int | None = Field(default=None, ge=1)

    @property
    def where(self) -> str:
        return f"Telegram, {self.chat}"

    def options(self, message: Message) -> dict[str, Any]:
        chat = self.chat if self.topic is None else f"{self.chat}:{self.topic}"
        token = self.token.get_secret_value()
        return {"bot_token": token, "targets": [chat], "detect_owner": False, "preview": False, "format": "html"}


class Teams(Chat):
    """A workflow of Microsoft Teams that is started by a webhook.

    Attributes:
        host: of its URL, such as prod-01.westeurope.logic.azure.com.
        workflow: what follows `/workflows/` there.
        signature: its parameter `sig`.
    """

    plugin = ("workflows", "NotifyWorkflows")
    markup = ADAPTIVE_CARD
    type: Literal["teams"]
    host: str
    workflow: str = Field(pattern=r"^[A-Za-z0-9-]{8,80}$")
    signature: Annotated[SecretStr, Shape(r"[A-Za-z0-9_-]{8,200}", "signature")]
    power_automate: bool = False

    @field_validator("host")
    @classmethod
    def _may_be_sent_to(cls, host: str, info: ValidationInfo) -> str:
        check_host(host, AllowedHosts((info.context or {}).get("allowed_hosts", ())))
        return host

    def options(self, message: Message) -> dict[str, Any]:
        return {
            "host": self.host,
            "workflow": self.workflow,
            "signature": self.signature.get_secret_value(),
            "power_automate": self.power_automate,
            "include_image": False,
        }


class Mattermost(HostedChat):
    """An incoming webhook of Mattermost.

    Attributes:
        token: the last part of its URL.
    """

    plugin = ("mattermost", "NotifyMattermost")
    markup = COMMONMARK
    type: Literal["mattermost"]
    token: Token

    def options(self, message: Message) -> dict[str, Any]:
        return {**self._there(), "token": self.token.get_secret_value(), "user": "Radar"}


class RocketChat(HostedChat):
    """An incoming webhook of Rocket.Chat.

    Attributes:
        token: what follows `/hooks/` in its URL.
    """

    plugin = ("rocketchat", "NotifyRocketChat")
    markup = SIMPLE
    type: Literal["rocketchat"]
    token: Annotated[SecretStr, Shape(r"[A-Za-z0-9]{8,60}/[A-Za-z0-9]{8,100}", "token; write it as .../...")]

    def options(self, message: Message) -> dict[str, Any]:
        return {**self._there(), "webhook": self.token.get_secret_value(), "mode": "webhook", "avatar": False}


class Ntfy(HostedChat):
    """A topic of ntfy.

    Attributes:
        topic: who knows it can read it, so it is kept like a secret.
    """

    plugin = ("ntfy", "NotifyNtfy")
    titled = True
    type: Literal["ntfy"]
    host: str = "ntfy.sh"
    topic: Annotated[SecretStr, Shape(r"[A-Za-z0-9_-]{1,64}", "topic")]
    token: Token | None = None

    def options(self, message: Message) -> dict[str, Any]:
        access = {"token": self.token.get_secret_value(), "auth": "token"} if self.token else {}
        priority = ("low", "default", "high", "max")[_worst(message)]
        topic = self.topic.get_secret_value()
        there = {**self._there(), "targets": [topic], "mode": "private", "include_image": False}
        return {**there, **access, "priority": priority}


class Gotify(HostedChat):
    """An application of Gotify."""

    plugin = ("gotify", "NotifyGotify")
    titled = True
    type: Literal["gotify"]
    token: Token

    def options(self, message: Message) -> dict[str, Any]:
        priority = (1, 4, 7, 10)[_worst(message)]
        return {**self._there(), "token": self.token.get_secret_value(), "priority": priority}


class Matrix(HostedChat):
    """A room of Matrix, unencrypted.

    Attributes:
        token: access token of the user that writes there.
        room: its id.
    """

    plugin = ("matrix.base", "NotifyMatrix")
    type: Literal["matrix"]
    token: Token
    room: str = Field(pattern=r"^![A-Za-z0-9_-]{1,60}(:[A-Za-z0-9.-]{1,200}(:[0-9]{1,5})?)?$")

    def options(self, message: Message) -> dict[str, Any]:
        there = {**self._there(), "targets": [self.room], "mode": "off", "include_image": False}
        return {**there, "password": self.token.get_secret_value(), "e2ee": False, "discovery": False, "version": "3"}


class GoogleChat(Chat):
    """A webhook of a space of Google Chat.

    Attributes:
        space: what follows `/spaces/` in its URL.
        key, token: parameters of it.
    """

    plugin = ("google_chat", "NotifyGoogleChat")
    markup = GOOGLE
    type: Literal["google_chat"]
    space: str = Field(pattern=r"^[A-Za-z0-9_-]{4,60}$")
    key: Annotated[SecretStr, Shape(r"[A-Za-z0-9_-]{8,100}", "key")]
    token: Annotated[SecretStr, Shape(r"[A-Za-z0-9_=-]{8,200}", "token")]

    def options(self, message: Message) -> dict[str, Any]:
        key, token = self.key.get_secret_value(), self.token.get_secret_value()
        return {"workspace": self.space, "webhook_key": key, "webhook_token": token}


AnyChat = Slack | Discord | Telegram | Teams | Mattermost | RocketChat | Ntfy | Gotify | Matrix | GoogleChat
CHATS: tuple[type[Chat], ...] = get_args(AnyChat)


def send(channel: Chat, message: Message, sending: Sending) -> None:
    """Send a message.

    Raises:
        SendError: it was not accepted.
    """
    from radar_assets.alerts.channels.http import guarded

    resolved = resolve(channel, sending.allowed_hosts)
    text, title = _fitting(resolved, message), ""
    if resolved.titled:
        title = resolved.markup.escape(messages.subject(message))
    with guarded(sending.allowed_hosts, sending.timeout_s) as session:
        mine = _session.set(session)
        try:
            accepted = _notify(resolved, message, text, title)
        finally:
            _session.reset(mine)
    failure = _outcome(accepted, session.exchanges, tuple(hidden(resolved)))
    if failure:
        raise failure


def render(markup: Markup, message: Message, most: int = MOST_LISTED) -> str:
    """A message in the markup of a chat.

    Args:
        most: notices of a digest that are told one by one.
    """
    return "\n".join(_lines(markup, message, most))


def _fitting(channel: Chat, message: Message) -> str:
    """The text, with as few notices of a digest as it takes to fit."""
    for most in range(MOST_LISTED, 0, -1):
        text = render(channel.markup, message, most)
        if len(text) <= MOST_CHARACTERS:
            return text
    # One notice with the longest of everything: what comes first says most. No markup is cut in two, only lines are left out.
    kept, length = [], 0
    for line in text.split("\n"):
        length += len(line) + 1
        if length <= MOST_CHARACTERS:
            kept.append(line)
    return "\n".join(kept)


def _lines(markup: Markup, message: Message, most: int) -> Iterator[str]:
    escape, bold, code = markup.escape, markup.bold, markup.code
    if len(message.notices) == 1:
        notice = message.notices[0]
        words = messages.describe(notice)
        yield bold.format(escape(f"{words.state} · {notice.severity}: {words.headline}"))
        if words.description:
            yield escape(words.description)
        yield ""
        for what, value in words.facts:
            yield f"{escape(what)}: {escape(value)}"
        if words.link:
            yield _link(markup, words.link, "Open the check")
        if words.silence:
            yield ""
        for command, effect in words.silence:
            yield f"{code.format(_code(command))} ({escape(effect)})"
        return
    yield bold.format(escape(messages.subject(message)))
    listed = messages.by_severity(message)
    for notice in listed[:most]:
        words = messages.describe(notice)
        link = f" {_link(markup, words.link, 'check')}" if words.link else ""
        yield f"• {escape(f'{words.state} · {notice.severity}: {words.headline}')}{link}"
    if len(listed) > most:
        yield f"• and {len(listed) - most} more"
    yield code.format("radar alerts list")


def _link(markup: Markup, link: str, called: str) -> str:
    safe = re.sub(r"[<>()|\[\]\"'`\\*@]", lambda found: f"%{ord(found[0]):02X}", link)
    return markup.link.format(html.escape(safe) if markup is TELEGRAM_HTML else safe, called)


def _code(command: str) -> str:
    """A command of ours with an id in it, of which only what ids are made of is left."""
    return re.sub(r"[^A-Za-z0-9 _-]", "", command)


def _worst(message: Message) -> int:
    """Place of the worst severity that is still going on."""
    return max(
        (SEVERITIES.index(notice.severity) for notice in message.notices if notice.reason != "recovered"), default=0
    )


_session: "contextvars.ContextVar[Session]" = contextvars.ContextVar("radar_chat_session")
"""Of the message that is being sent; without one, apprise's modules can't send at all."""
_SILENT = logging.Logger("radar.apprise")
"""apprise logs addresses with their tokens."""
_SILENT.disabled = True


class _Requests:
    """What `requests` is in apprise's modules: its names, but all that sends is the session of the message."""

    def __getattr__(self, name: str) -> Any:
        import requests

        if name in ("get", "options", "head", "post", "put", "patch", "delete", "request"):
            return getattr(_session.get(), name)
        if name in ("Session", "session"):
            return _session.get
        return getattr(requests, name)


@cache
def _plugin(module: str, name: str) -> Any:
    """A class of apprise, out of a copy of its module that nobody else has."""
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


def _notify(channel: Chat, message: Message, text: str, title: str) -> bool:
    from apprise import AppriseAsset, NotifyType

    # Nothing is kept on the disk.
    asset = AppriseAsset(app_id="Radar", app_desc="Radar", storage_mode="memory", secure_logging=True)
    try:
        target = _plugin(*channel.plugin)(asset=asset, schema="radar", **channel.options(message))
    except TypeError:
        # Its text has the field that it is about.
        return False
    # It would sleep as long as the other side says; the time of the message is bounded, not its pace.
    target.throttle = lambda *_, **__: None
    kind = NotifyType.FAILURE
    if all(notice.reason in ("recovered", "test") for notice in message.notices):
        kind = NotifyType.SUCCESS
    elif _worst(message) < SEVERITIES.index("high"):
        kind = NotifyType.WARNING
    return bool(target.notify(body=text, title=title, notify_type=kind))


def _outcome(accepted: bool, exchanges: "list[Exchange]", secrets: tuple[str, ...]) -> SendError | None:
    from radar_assets.alerts.channels.http import verdict

    if not exchanges:
        return PermanentError("apprise does not take this; see the fields of the channel")
    last = exchanges[-1]
    failure = verdict(last)
    if accepted and failure is None:
        return None
    said = _said(last, secrets)
    if failure is None:
        # An answer that says no with the status of a yes.
        kind = PassingError if said in _BUSY or not said else PermanentError
        return kind(f"{last.host} took it for wrong{f': {said}' if said else ''}")
    text = f"{failure}{f' ({said})' if said else ''}"
    if isinstance(failure, PassingError):
        return PassingError(text, failure.retry_after or _asked_to_wait(last))
    return PermanentError(text)


def _said(exchange: "Exchange", secrets: tuple[str, ...]) -> str:
    """What an answer says is wrong, in a few words without the secrets that it may repeat."""
    content = _json(exchange)
    found = next((content[key] for key in ("error", "description", "message", "errmsg") if content.get(key)), None)
    if found is None and re.fullmatch(rb"[a-z_]{3,60}", exchange.body.strip()):
        found = exchange.body.strip().decode()
    text = messages.line(str(found), 200) if isinstance(found, str) else ""
    # Some repeat what they were sent; of what may be a piece of a secret nothing is told.
    pieces = (secret[at : at + 8] for secret in secrets for at in range(max(1, len(secret) - 7)))
    return "" if any(piece in text for piece in pieces) else text[:120]


def _asked_to_wait(exchange: "Exchange") -> timedelta | None:
    """What Telegram, Discord and Matrix ask for in the body."""
    from radar_assets.alerts.channels.http import retry_after

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
