"""PagerDuty and Opsgenie: an alert is an incident there, which its end resolves."""

import json
from typing import Any

import pytest

from radar_assets.messaging.channel import Transport
from radar_assets.messaging.channels import parse_channel
from radar_assets.messaging.failures import PermanentError, TemporaryError
from radar_assets_tests.messaging.channels.servers import Request, Server, message, notice, send, status

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
API_KEY = "01234567-89ab-cdef-0123-456789abcdef"
ALERT = notice().alert_id
OVER = {"reason": "recovered", "ended_at": notice().window_end}
ENDED = {"reason": "ended_without_data", "ended_at": notice().window_end, "no_data_since": notice().window_end}


def pagerduty(**fields: Any) -> Any:
    return parse_channel({"type": "pagerduty", "name": "on-call", "routing_key": ROUTING_KEY, **fields})


def opsgenie(**fields: Any) -> Any:
    return parse_channel({"type": "opsgenie", "name": "on-call", "api_key": API_KEY, **fields})


def sent(server: Server, channel: Any, **fields: Any) -> tuple[Request, dict[str, Any]]:
    """The request for a notice, and its content."""
    server.requests.clear()
    server.answer(status(202, b'{"status": "success", "requestId": "43a29c5c"}'))
    send(channel, message(notice(**fields)), Transport(("127.0.0.1",)))
    (request,) = server.requests
    return request, json.loads(request.body)


def test_pagerduty_gets_an_event_for_the_incident_of_the_alert(tls_server: Server) -> None:
    _, body = sent(tls_server, pagerduty())
    assert body["routing_key"] == ROUTING_KEY
    assert body["event_action"] == "trigger"
    assert body["dedup_key"] == f"radar-alert-{ALERT}"
    assert body["payload"]["severity"] == "critical"
    assert body["payload"]["summary"] == "[critical] Shop: error rate 12.4%, above 5%"
    assert "radar alerts ack 0b54" in body["payload"]["custom_details"]["message"]


@pytest.mark.parametrize(
    ("severity", "shown"), [("critical", "critical"), ("high", "error"), ("medium", "warning"), ("low", "info")]
)
def test_pagerduty_has_the_severity_of_the_alert(severity: str, shown: str, tls_server: Server) -> None:
    assert sent(tls_server, pagerduty(), severity=severity)[1]["payload"]["severity"] == shown


@pytest.mark.parametrize("end", [OVER, ENDED])
def test_the_end_of_an_alert_resolves_its_incident(end: dict[str, Any], tls_server: Server) -> None:
    triggered = sent(tls_server, pagerduty(), reason="escalated")[1]
    resolved = sent(tls_server, pagerduty(), **end)[1]
    assert (triggered["event_action"], resolved["event_action"]) == ("trigger", "resolve")
    assert triggered["dedup_key"] == resolved["dedup_key"]


@pytest.mark.parametrize(("region", "host"), [("us", "events.pagerduty.com"), ("eu", "events.eu.pagerduty.com")])
def test_pagerduty_is_reached_in_its_region(region: str, host: str, tls_server: Server) -> None:
    assert sent(tls_server, pagerduty(region=region))[0].headers["host"] == host


def test_opsgenie_gets_an_alert_with_an_alias(tls_server: Server) -> None:
    request, body = sent(tls_server, opsgenie(team="on-call"))
    assert request.headers["authorization"] == f"GenieKey {API_KEY}"
    assert body["alias"] == f"radar-alert-{ALERT}"
    assert body["message"] == "[critical] Shop: error rate 12.4%, above 5%"
    assert body["responders"] == [{"type": "team", "name": "on-call"}]
    assert "radar alerts ack 0b54" in body["description"]


@pytest.mark.parametrize(("severity", "shown"), [("critical", "P1"), ("high", "P2"), ("medium", "P3"), ("low", "P4")])
def test_opsgenie_has_the_priority_of_the_alert(severity: str, shown: str, tls_server: Server) -> None:
    assert sent(tls_server, opsgenie(), severity=severity)[1]["priority"] == shown


@pytest.mark.parametrize("end", [OVER, ENDED])
@pytest.mark.parametrize(("region", "host"), [("us", "api.opsgenie.com"), ("eu", "api.eu.opsgenie.com")])
def test_the_end_of_an_alert_closes_that_of_opsgenie(
    region: str, host: str, end: dict[str, Any], tls_server: Server
) -> None:
    request, body = sent(tls_server, opsgenie(region=region), **end)
    assert (request.method, request.headers["host"]) == ("POST", host)
    assert request.path == f"/v2/alerts/radar-alert-{ALERT}/close?identifierType=alias"
    assert request.headers["authorization"] == f"GenieKey {API_KEY}"
    assert body["source"] == "Radar"


@pytest.mark.parametrize(("code", "failure"), [(401, PermanentError), (429, TemporaryError), (503, TemporaryError)])
def test_a_refused_close_is_temporary_or_permanent_by_status(code: int, failure: Any, tls_server: Server) -> None:
    tls_server.answer(status(code, b"{}"))
    with pytest.raises(failure, match=f"answered {code}"):
        send(opsgenie(), message(notice(**OVER)), Transport(("127.0.0.1",)))


@pytest.mark.parametrize("name", ["PAGER_KEY"])
def test_keys_are_read_from_the_environment(name: str, tls_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = pagerduty(routing_key=f"env:{name}")
    tls_server.answer(status(202, b"{}"))
    with pytest.raises(PermanentError, match=name):
        send(channel, message(), Transport(("127.0.0.1",)))
    assert not tls_server.requests
    monkeypatch.setenv(name, ROUTING_KEY)
    assert sent(tls_server, channel)[1]["routing_key"] == ROUTING_KEY
    assert sent(tls_server, opsgenie(api_key=f"env:{name}"), **OVER)[0].headers["authorization"].endswith(ROUTING_KEY)
