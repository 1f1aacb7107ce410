"""Secrets of channels appear nowhere but in the store, however sending fails."""

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from radar_assets.messaging.channel import Smtp, Transport
from radar_assets.messaging.channels import load_channels, parse_channel
from radar_assets.messaging.failures import PermanentError, SendError, TemporaryError
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Channel
from radar_assets_tests.messaging.channels.conftest import HOSTS, server_context
from radar_assets_tests.messaging.channels.servers import Resolver, drop, hang, message, send, serving, status
from radar_assets_tests.messaging.channels.test_chat import SPECS

CANARY = "CANARYcanary"


def with_canaries() -> Iterator[dict[str, Any]]:
    """Every type of channel, with the canary in each of its secrets."""
    key = "whsec_" + CANARY * 3
    headers = {"Authorization": f"Bearer {CANARY}"}
    yield {
        "type": "webhook",
        "name": "hook",
        "url": f"https://hook.example/{CANARY}",
        "secrets": [key],
        "headers": headers,
    }
    for kind, spec in SPECS.items():
        channel = parse_channel({"type": kind, "name": kind, **spec})
        secrets = [name for name in type(channel).model_fields if isinstance(getattr(channel, name), SecretStr)]
        yield {"type": kind, "name": kind, **spec, **{name: _marked(spec[name]) for name in secrets}}


def _marked(secret: str) -> str:
    """A secret that ends with the canary."""
    return secret[: -len(CANARY)] + CANARY if len(secret) > len(CANARY) else CANARY


class Seen(logging.Handler):
    """Collects all log records, at every level."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.exc_info} {vars(record)}")


@pytest.fixture
def seen() -> Iterator[Seen]:
    handler, names = Seen(), ("", "apprise", "urllib3", "requests", "urllib3.connectionpool")
    levels = {name: logging.getLogger(name).level for name in names}
    logging.getLogger().addHandler(handler)
    for name in names:
        logging.getLogger(name).setLevel(1)
    yield handler
    logging.getLogger().removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def shown_text(error: BaseException) -> str:
    """All texts of an error and of its causes."""
    parts, current = ["".join(traceback.format_exception(error))], error
    while current is not None:
        parts += [str(current), repr(current), repr(current.args)]
        current = current.__cause__ or current.__context__  # pyright: ignore[reportAssignmentType]
    return "\n".join(parts)


@pytest.mark.parametrize("spec", with_canaries(), ids=lambda spec: spec["type"])
def test_a_failed_send_shows_no_secret(
    spec: dict[str, Any], authority: trustme.CA, trusted: None, resolver: Resolver, seen: Seen, capfd: Any
) -> None:
    channel = parse_channel(spec)
    shown = [repr(channel), str(channel), channel.where, repr(channel.model_dump()), repr(channel.__dict__)]
    echo = json.dumps({"error": f"{CANARY} is wrong", "description": json.dumps(spec)}).encode()
    failures = 0
    with (
        serving(server_context(authority, *HOSTS)) as server,
        serving(server_context(trustme.CA(), *HOSTS)) as stranger,
    ):
        tries = [
            (server.port, answer) for answer in (status(404, echo), status(503, echo), status(200, echo), drop, hang)
        ]
        tries += [
            (server.port, status(302, Location=f"https://other.example/{CANARY}")),
            (stranger.port, drop),
            (9, drop),
        ]
        for port, answer in tries:
            server.answer(answer)
            for host in HOSTS:
                resolver.add(host, [("127.0.0.1", port)])
            try:
                send(channel, message(), Transport(("127.0.0.1",), timeout_s=0.5 if answer is hang else 15))
            except SendError as error:
                failures += 1
                shown.append(shown_text(error))
        for host in HOSTS:
            resolver.add(host, [("10.0.0.1", 443)])
        with pytest.raises(PermanentError) as failed:
            send(channel, message(), Transport())
        shown.append(shown_text(failed.value))
    assert failures >= 7
    shown += [*seen.lines, *capfd.readouterr()]
    assert not [text for text in shown if CANARY in text]
    assert json.dumps(channel.model_dump(mode="json")).count(CANARY) >= 1


@pytest.mark.parametrize("spec", with_canaries(), ids=lambda spec: spec["type"])
def test_a_refused_declaration_shows_no_secret(spec: dict[str, Any]) -> None:
    secrets = [field for field, value in spec.items() if CANARY in str(value)]
    assert secrets
    for wrong in ({"name": "No Name"}, {"unknown": CANARY}, *({field: f"{CANARY} {spec[field]}"} for field in secrets)):
        with pytest.raises(ValidationError) as failed:
            parse_channel({**spec, **wrong})
        assert CANARY not in shown_text(failed.value)


def test_a_reference_is_resolved_when_something_is_sent(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, trusted: None
) -> None:
    spec = {"type": "slack", "name": "team", "token": "env:SLACK_TOKEN"}
    channel = parse_channel(spec)
    assert channel.model_dump(mode="json") == spec | {"name": "team"}
    with pytest.raises(PermanentError, match="SLACK_TOKEN is not set"):
        send(channel, message(), Transport())
    for wrong in ("nonsense", "env:OTHER", f"{CANARY}/x"):
        monkeypatch.setenv("SLACK_TOKEN", wrong)
        with pytest.raises(PermanentError, match="token is not a valid token") as failed:
            send(channel, message(), Transport())
        assert wrong not in shown_text(failed.value).replace("env:NAME", "")
    monkeypatch.setenv("SLACK_TOKEN", SPECS["slack"]["token"])
    with serving(server_context(authority, *HOSTS)) as server:
        resolver.add("hooks.slack.com", [("127.0.0.1", server.port)])
        server.answer(status(200, b"ok"))
        send(channel, message(), Transport(("127.0.0.1",)))
    assert server.requests[0].path == f"/services/{SPECS['slack']['token']}"


@pytest.mark.parametrize("reference", ["env:", "env:1A", "env:A B", "env:A\n", "env:$(x)"])
def test_an_invalid_reference_to_a_variable_is_refused(reference: str) -> None:
    with pytest.raises(ValidationError):
        parse_channel({"type": "slack", "name": "team", "token": reference})


def test_the_store_keeps_secrets_as_they_are_written(settings: Settings) -> None:
    store = open_store(settings.database)
    specs = [*with_canaries(), {"type": "email", "name": "mail", "to": ["a@b.example"]}]
    with store.session() as session:
        for index, spec in enumerate(specs):
            channel = parse_channel(spec)
            session.add(Channel(name=channel.name, position=index, spec=channel.model_dump(mode="json", by_alias=True)))
    loaded = load_channels(store)
    store.close()
    assert list(loaded) == [spec["name"] for spec in specs]
    assert list(loaded.values()) == [parse_channel(spec) for spec in specs]


def test_the_password_of_the_mail_server_is_not_shown(seen: Seen) -> None:
    smtp = Smtp(SecretStr(f"smtp://user:{CANARY}@127.0.0.1:9"), "alerts@shop.example")
    channel = parse_channel({"type": "email", "name": "mail", "to": ["a@b.example"]})
    with pytest.raises(TemporaryError) as failed:
        send(channel, message(), Transport(smtp=smtp))
    assert CANARY not in shown_text(failed.value) + repr(smtp) + "".join(seen.lines)
