"""A webhook is signed as Standard Webhooks specifies."""

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from radar_assets.messaging.channel import Transport
from radar_assets.messaging.channels import parse_channel
from radar_assets_tests.messaging.channels.servers import KEY, Server, message, send

OLD = "whsec_" + "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk"


def test_a_receiver_can_verify_it_with_any_of_its_keys(tls_server: Server) -> None:
    spec = {"type": "webhook", "name": "hook", "url": "https://hook.example/in?x=1", "secrets": [KEY, OLD]}
    channel = parse_channel({**spec, "headers": {"Authorization": "Bearer abc"}})
    for _ in range(2):
        send(channel, message(id="4f6c"), Transport(("127.0.0.1",)))
    first, second = tls_server.requests
    for key in (KEY, OLD):
        verified = Webhook(key).verify(first.body, dict(first.headers))
        assert verified["data"]["alerts"][0]["headline"] == "Shop: error rate 12.4%, above 5%"
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY[:-4] + "AAAA").verify(first.body, dict(first.headers))
    assert (first.method, first.path) == ("POST", "/in?x=1")
    assert first.headers["authorization"] == "Bearer abc"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "4f6c"
    assert first.body == second.body


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
