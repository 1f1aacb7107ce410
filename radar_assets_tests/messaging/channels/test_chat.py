"""Chats get messages in their own format at their own hosts."""

import json
import re
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from radar_assets.messaging.channel import Transport
from radar_assets.messaging.channels import CHANNELS, parse_channel
from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import MAX_CHARACTERS
from radar_assets.messaging.failures import PermanentError, TemporaryError
from radar_assets_tests.messaging.channels.servers import KEY, Server, message, notice, send, status

TOKEN = "abcdefghijklmnopqrstuvwxyz"
SPECS: dict[str, dict[str, Any]] = {
    "slack": {"token": "T0000AAAA/B0000BBBB/abcdefghijklmnopqrstuvwx"},
    "discord": {"webhook_id": "123456789012345678", "token": TOKEN, "thread": "23456789012345678"},
    "telegram": {"token": "123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg", "chat": -100123456},
    "teams": {"host": "prod-1.westeurope.logic.azure.com", "workflow": "abcdef0123456789", "signature": TOKEN},
    "mattermost": {"host": "chat.example", "token": TOKEN},
    "rocketchat": {"host": "chat.example", "token": f"{TOKEN}/{TOKEN}"},
    "ntfy": {"host": "chat.example", "topic": "alerts", "token": "tk_abcdefghijklmnop"},
    "gotify": {"host": "chat.example", "token": "AbcdefgHijklmno"},
    "matrix": {"host": "chat.example", "token": "syt_abcdefghijklmnop", "room": "!abcdef:chat.example"},
    "google_chat": {"space": "AAAABBBB", "key": "AIzaabcdefgh", "token": TOKEN},
    "pagerduty": {"routing_key": "0123456789abcdef0123456789abcdef"},
    "opsgenie": {"api_key": "01234567-89ab-cdef-0123-456789abcdef", "team": "on-call"},
}
WHERE = {
    "slack": ("hooks.slack.com", "/services/T0000AAAA/B0000BBBB/abcdefghijklmnopqrstuvwx"),
    "discord": ("discord.com", f"/api/webhooks/123456789012345678/{TOKEN}"),
    "telegram": ("api.telegram.org", "/bot123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg/sendMessage"),
    "teams": ("prod-1.westeurope.logic.azure.com", "/workflows/abcdef0123456789/triggers/manual/paths/invoke"),
    "mattermost": ("chat.example", f"/hooks/{TOKEN}"),
    "rocketchat": ("chat.example", f"/hooks/{TOKEN}/{TOKEN}"),
    "ntfy": ("chat.example", "/"),
    "gotify": ("chat.example", "/message"),
    "matrix": ("chat.example", "/_matrix/client/v3/rooms/%21abcdef%3Achat.example/send/m.room.message/"),
    "google_chat": ("chat.googleapis.com", "/v1/spaces/AAAABBBB/messages"),
    "pagerduty": ("events.pagerduty.com", "/v2/enqueue"),
    "opsgenie": ("api.opsgenie.com", "/v2/alerts"),
}
YES = {
    "slack": status(200, b"ok"),
    "discord": status(204),
    "matrix": status(200, b'{"room_id":"!abcdef:chat.example","event_id":"$1","user_id":"@radar:chat.example"}'),
    "pagerduty": status(202, b'{"status": "success", "dedup_key": "radar"}'),
    "opsgenie": status(202, b'{"result": "Request will be processed", "requestId": "43a29c5c"}'),
}
KINDS = pytest.mark.parametrize("kind", SPECS)


def channel(kind: str, **changes: Any) -> Any:
    return parse_channel({"type": kind, "name": "chat", **SPECS[kind], **changes})


def sent(server: Server, kind: str, *notices: Any) -> str:
    """All text fields of the request that a chat received."""
    server.requests.clear()
    server.answer(YES.get(kind, status(200, b'{"ok": true}')))
    send(channel(kind), message(*notices), Transport(("127.0.0.1",)))
    return texts(json.loads(server.requests[-1].body))


def texts(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(texts(part) for key, part in value.items() if key not in ("$schema", "contentType"))
    if isinstance(value, list):
        return "\n".join(texts(part) for part in value)
    return value if isinstance(value, str) else ""


def test_every_chat_is_tested() -> None:
    assert {name for name, kind in CHANNELS.items() if issubclass(kind, Chat)} == set(SPECS)


@KINDS
def test_a_chat_gets_the_message_at_its_own_host(kind: str, tls_server: Server) -> None:
    text = sent(tls_server, kind)
    request = tls_server.requests[-1]
    host, path = WHERE[kind]
    assert request.headers["host"] == host
    assert request.path.split("?")[0].startswith(path)
    unescaped = text.replace("\\", "").replace("\u2060", "")
    for said in (
        "Shop: error rate 12.4%, above 5%",
        "12 May 2026, 12:00 UTC",
        "5.4 times the highest",
        "radar alerts snooze 0b54",
    ):
        assert said in unescaped, said
    assert "https://radar.example/assets/hourly_metrics?view=checks" in text.replace("&amp;", "&")


@KINDS
def test_a_recovery_and_a_digest_are_rendered(kind: str, tls_server: Server) -> None:
    over = notice(reason="recovered", ended_at=notice().window_end)
    # PagerDuty takes nothing but the key of the incident that ends.
    assert ("resolve" if kind == "pagerduty" else "Shop recovered after") in sent(tls_server, kind, over)
    digest = sent(tls_server, kind, *(notice(project_name=f"{'Shop' * 20} {number}") for number in range(50)), over)
    assert "51 alerts: 50 critical, 1 recovered" in digest
    assert re.search(r"and \d+ more", digest)
    assert len(digest) < MAX_CHARACTERS + 400


@KINDS
def test_the_longest_names_fit(kind: str, tls_server: Server) -> None:
    fields = dict.fromkeys(("description", "project_name", "metric_title", "unit", "rule"), "*_[" * 2000)
    assert (
        len(sent(tls_server, kind, notice(**fields, check_url="https://radar.example/" + "a" * 1900)))
        < MAX_CHARACTERS + 400
    )


@KINDS
@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (400, PermanentError),
        (403, PermanentError),
        (404, PermanentError),
        (410, PermanentError),
        (429, TemporaryError),
        (503, TemporaryError),
    ],
)
def test_refusals_are_temporary_or_permanent_by_status(kind: str, code: int, failure: Any, tls_server: Server) -> None:
    tls_server.answer(status(code, b'{"description": "no such chat", "error": "no such chat"}', Retry_After="9"))
    with pytest.raises(failure, match=rf"answered {code} \(no such chat\)") as failed:
        send(channel(kind), message(), Transport(("127.0.0.1",)))
    if failure is TemporaryError:
        assert failed.value.retry_after == timedelta(seconds=9)
    assert tls_server.connections == 1


def test_a_retry_after_in_the_body_is_passed_on_to_the_outbox(tls_server: Server) -> None:
    reset = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(time.time() + 35)}
    for kind, body, headers in (
        ("telegram", b'{"ok": false, "parameters": {"retry_after": 35}}', {}),
        ("discord", b'{"retry_after": 35.0}', reset),
        ("matrix", b'{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 35000}', {}),
    ):
        tls_server.answer(status(429, body, **headers))
        started = time.monotonic()
        with pytest.raises(TemporaryError) as failed:
            send(channel(kind), message(), Transport(("127.0.0.1",)))
        assert failed.value.retry_after == timedelta(seconds=35)
        assert time.monotonic() - started < 30


def test_an_error_with_status_200_is_a_failure(tls_server: Server) -> None:
    for said, failure in ((b"invalid_token", PermanentError), (b"ratelimited", TemporaryError)):
        tls_server.answer(status(200, said))
        with pytest.raises(failure, match=said.decode()):
            send(channel("slack"), message(), Transport(("127.0.0.1",)))


@KINDS
@pytest.mark.parametrize(
    "evil",
    [
        "@evil.example",
        "/../../x",
        "?to=x",
        "#x",
        "a&b=c",
        "%2e%2e%2f",
        "a b",
        "a\r\nX: y",
        "x:y@evil.example/",
        "",
        "a/b/c/d/e",
        "ä" * 20,
        "{host}",
    ],
)
def test_no_field_can_change_where_it_goes(kind: str, evil: str) -> None:
    for field in SPECS[kind]:
        with pytest.raises(ValidationError):
            channel(kind, **{field: evil})
        if isinstance(SPECS[kind][field], str):
            with pytest.raises(ValidationError):
                channel(kind, **{field: SPECS[kind][field] + (evil or "\n")})


def test_apprise_is_unchanged_for_other_users(tls_server: Server) -> None:
    import requests
    from apprise.plugins import slack
    from apprise.plugins.gotify import NotifyGotify

    sent(tls_server, "slack")
    sent(tls_server, "gotify")
    assert vars(slack)["requests"] is requests
    assert NotifyGotify.logger.name == "apprise"
    assert not NotifyGotify.logger.disabled


def test_declarations_load_nothing_that_sends() -> None:
    """Each run's process loads them, and process start is most of a tick."""
    spec = {"type": "webhook", "name": "hook", "url": "https://hook.example/", "secrets": [KEY]}
    code = f"""import sys; from radar_assets.messaging.channels import parse_channel; parse_channel({spec!r})
print([name for name in ("requests", "apprise", "jinja2", "altair", "mrml", "AntiSSRF", "sqlalchemy") if name in sys.modules])"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
