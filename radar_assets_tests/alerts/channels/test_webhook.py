"""A webhook is signed as Standard Webhooks says, and its body is what the schema in the package says."""

import json
from datetime import timedelta
from importlib import resources

import jsonschema
import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from radar_assets.alerts.channels import Sending, parse_channel, send
from radar_assets.alerts.channels.webhook import Body, schema
from radar_assets_tests.alerts.channels.servers import KEY, NOON, Server, message, notice

OLD = "whsec_" + "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk"
SHIPPED = json.loads((resources.files("radar_assets.alerts.channels") / "webhook.schema.json").read_text())


def test_a_receiver_can_verify_it_with_any_of_its_keys(tls_server: Server) -> None:
    spec = {"type": "webhook", "name": "hook", "url": "https://hook.example/in?x=1", "secrets": [KEY, OLD]}
    channel = parse_channel({**spec, "headers": {"Authorization": "Bearer abc"}})
    for _ in range(2):
        send(channel, message(id="4f6c"), Sending(lambda _: (), ("127.0.0.1",)))
    first, second = tls_server.requests
    for key in (KEY, OLD):
        verified = Webhook(key).verify(first.body, dict(first.headers))
        assert verified["data"]["alerts"][0]["headline"] == "Error rate of Shop at 12.4%, above 5%"
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY[:-4] + "AAAA").verify(first.body, dict(first.headers))
    assert (first.method, first.path) == ("POST", "/in?x=1")
    assert first.headers["authorization"] == "Bearer abc"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "4f6c"
    assert first.body == second.body


@pytest.mark.parametrize(
    "notices",
    [
        [notice()],
        [notice(reason="recovered", ended_at=NOON + timedelta(hours=3))],
        [notice(reason="still_firing", value=None, usual=None, check_url=None)],
        [notice(reason="test")],
        [
            notice(
                project_id="", project_name="", metric=None, unit=None, value=None, text="a run failed", subject="1f2e"
            )
        ],
        [notice(operator="change_pct", baseline=0.02), notice(severity="low")],
    ],
)
def test_a_body_is_as_the_schema_says(notices: list) -> None:
    body = json.loads(Body.of(message(*notices)).model_dump_json())
    jsonschema.Draft202012Validator(SHIPPED, format_checker=jsonschema.FormatChecker()).validate(body)
    assert body["type"] == ("alerts.digest" if len(notices) > 1 else f"alert.{notices[0].reason}")
    assert body["data"]["alerts"][0]["started_at"] == "2026-05-12T12:00:00Z"


def test_the_schema_in_the_package_is_that_of_the_model() -> None:
    """Written with `json.dumps(schema(), indent=2)`."""
    assert schema() == SHIPPED
    jsonschema.Draft202012Validator.check_schema(SHIPPED)


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            {"secrets": keys}
            for keys in ([], ["plain"], ["whsec_"], ["whsec_c2hvcnQ="], ["whsec_" + "A" * 100], [KEY] * 6)
        ),
        *(
            {"headers": {name: "x"}}
            for name in ("webhook-id", "Host", "Content-Length", "a b", "", "a:b", "Transfer-Encoding")
        ),
        *({"headers": {"X-A": value}} for value in ("a\r\nX-B: c", "", "ä", "a\x00")),
        *({"name": name} for name in ("", "Hook", "a b", "a\n", "x" * 61)),
        {"unknown": 1},
    ],
)
def test_a_wrong_declaration_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        parse_channel({"type": "webhook", "name": "hook", "url": "https://hook.example/", "secrets": [KEY], **wrong})
