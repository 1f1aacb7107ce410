"""The response of `/v1/events` counts accepted and rejected events with reasons, and says what the contract says of their lines."""

import json
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from radar_assets.access.keys import create_key
from radar_assets.collector.door import Event, Failed, MalformedRequestError, Outcome
from radar_assets.collector.doors.radar import RadarDoor
from radar_assets.collector.lines import encode_lines
from radar_assets.collector.report import MAX_CHECKED_PAYLOADS, MAX_LISTED, report_on
from radar_assets.events.contract import Rejection, parse
from radar_assets.settings import Settings
from radar_assets_tests.collector.conftest import serving
from radar_assets_tests.collector.wire import NOON, request

DOOR, START = RadarDoor(), date(2026, 1, 1)
GOOD = {"event": "signup", "anonymous_id": "visitor-1"}
FAR = (NOON + timedelta(days=3)).isoformat() + "Z"


def reported(body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The report on a body, and its lines."""
    events = DOOR.read(request("/v1/events", body)).events
    lines = encode_lines(events, "shop", "radar", NOON, "truncated")
    return json.loads(report_on(events, lines, NOON, START)), lines.splitlines()


def rejections(lines: list[bytes]) -> dict[int, str]:
    """The verdicts of the contract: the reason by position."""
    verdicts = [parse(line, {"shop"}, START) for line in lines]
    return {index: verdict.reason.value for index, verdict in enumerate(verdicts) if isinstance(verdict, Rejection)}


def test_the_response_counts_events_and_names_reason_field_and_fix(settings: Settings) -> None:
    with serving(settings) as collector:
        key = create_key(collector.store, "shop")
        sending = {"Authorization": f"Bearer {key}"}

        def send(body: object) -> dict[str, Any]:
            answer = collector.request("POST", "/v1/events", json.dumps(body).encode(), sending)
            assert answer.status == 200
            return answer.json()

        assert send(GOOD) == {
            "status": "accepted",
            "accepted": 1,
            "rejected": 0,
            "errors": [],
            "warnings": [],
        }
        empty = send({})
        assert (empty["status"], empty["accepted"], empty["rejected"]) == ("rejected", 0, 1)
        assert empty["errors"][0]["reason"] == "missing_field"
        mixed = send([GOOD, {"event": "signup", "userId": "42"}, {**GOOD, "revenue": 12}])
        assert (mixed["status"], mixed["accepted"], mixed["rejected"]) == ("partial", 2, 1)
        assert mixed["errors"] == [
            {
                "index": 1,
                "reason": "no_visitor",
                "field": "user_id",
                "detail": "not given, and anonymous_id is not usable either",
                "fix": "Send user_id or anonymous_id, and leave them out if you have none.",
            }
        ]
        assert [(warning["field"], warning["events"]) for warning in mixed["warnings"]] == [
            ("userId", 1),
            ("revenue", 1),
        ]
        assert "did you mean user_id?" in mixed["warnings"][0]["detail"]
        assert send([])["accepted"] == 0
        misspelt = send({"event": "signup", "anonymus_id": "visitor-1"})
        assert (misspelt["status"], misspelt["errors"][0]["reason"]) == ("rejected", "no_visitor")
        assert misspelt["warnings"][0]["detail"].startswith("unknown field anonymus_id; did you mean anonymous_id?")
        answer = collector.request("POST", "/v1/events", b'{"evnt": "signup", "user_id": "42"}', sending)
        assert answer.status == 200
        assert b"did you mean event?" in answer.body
        assert answer.body.endswith(b"}\n"), "a terminal's prompt goes on a line of its own"


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"event": ""}, "missing_field", "event"),
        ({"event": ["signup"]}, "wrong_type", "event"),
        ({"event": None, "type": "click"}, "unknown_type", "type"),
        ({"user_id": "undefined", "anonymous_id": None}, "no_visitor", "user_id"),
        ({"timestamp": "2025-12-31T23:59:59Z"}, "before_start", "timestamp"),
    ],
)
@pytest.mark.parametrize("beside", [0, 2 * MAX_CHECKED_PAYLOADS], ids=["alone", "in a batch"])
def test_each_rejection_names_its_field_and_has_a_fix(
    change: dict[str, Any], reason: str, field: str, beside: int
) -> None:
    report, lines = reported(json.dumps([*[GOOD] * beside, {**GOOD, **change}]).encode())
    assert rejections(lines) == {beside: reason}
    assert (report["accepted"], report["rejected"]) == (beside, 1)
    [error] = report["errors"]
    assert (error["index"], error["reason"], error["field"]) == (beside, reason, field)
    assert error["fix"]


@pytest.mark.parametrize(
    ("change", "field", "oddity"),
    [
        ({"timestamp": "yesterday"}, "timestamp", "unreadable"),
        ({"timestamp": FAR}, "timestamp", "in the future"),
        ({"sent_at": "now"}, "sent_at", "unreadable"),
        ({"properties": [1]}, "properties", "wrong type"),
        ({"session_id": "a\0b"}, "session_id", "nul character"),
        ({"properties": {"text": "x" * 40_000}}, "properties", "too large"),
        ({"user_id": "7", "anonymous_id": ""}, "anonymous_id", "empty"),
    ],
)
def test_what_was_dropped_is_named(change: dict[str, Any], field: str, oddity: str) -> None:
    report, _ = reported(json.dumps({**GOOD, **change}).encode())
    assert (report["accepted"], report["rejected"]) == (1, 0)
    [warning] = report["warnings"]
    assert (warning["field"], warning["events"]) == (field, 1)
    assert warning["detail"].startswith(oddity)


TEXTS = st.sampled_from(["", "x", "x" * 201, "\0", "\ud83d", "é", 7, None, ["x"]])
TIMES = st.sampled_from(
    (
        *(f"{NOON.isoformat()}Z", FAR, "2026-12-01T12:00:00.5+02:00", "2026-12-01 12:00:00Z", "2026-W49-1T12:00:00Z"),
        *("0001-01-01T00:00:00Z", "2999-12-31T23:59:59Z", "2026-12-01T12:00:00+0200", "2026-12-01T12:00:60Z", 7, None),
    )
)
PAYLOADS = st.sampled_from(
    (
        *('{"a":1}', '{"a": 1, "b": {"a": "\\":"}}', '{"a":1,"a":2}', '{"b":{"a":1,"a":2}}', '{"a" :1,"b":":"}'),
        *('{"a":1e999}', f'{{"a":{"9" * 400}}}', '{"a":' + "[" * 70 + "]" * 70 + "}", '{"a":"\\ud800"}'),
        *("[]", "null", '"x"', "{}"),
    )
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("event", "user_id", "anonymous_id", "event_id", "category"), TEXTS.map(json.dumps)),
        "type": st.sampled_from(['"page"', '"track"', '"click"', "1"]),
        **dict.fromkeys(("timestamp", "sent_at"), TIMES.map(json.dumps)),
        **dict.fromkeys(("properties", "context"), PAYLOADS),
        "revenue": st.just("12"),
    },
)


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MEMBERS, min_size=1, max_size=4), st.sampled_from(["[", "{", "\n"]))
def test_the_report_agrees_with_the_contract(events: list[dict[str, str]], form: str) -> None:
    texts = ["{" + ",".join(f'"{name}":{value}' for name, value in event.items()) + "}" for event in events]
    body = {"[": f"[{','.join(texts)}]", "{": f'{{"events":[{",".join(texts)}]}}', "\n": "\n".join(texts)}[form]
    try:
        report, lines = reported(body.encode())
    except (MalformedRequestError, msgspec.DecodeError):
        return
    assert {error["index"]: error["reason"] for error in report["errors"]} == rejections(lines)
    assert report["accepted"] + report["rejected"] == len(events)


def test_a_report_is_bounded_and_says_what_it_leaves_out() -> None:
    report, _ = reported(b"[" + b",".join([b"{}"] * 5000) + b"]")
    assert len(report["errors"]) == MAX_LISTED
    assert report["accepted"] == 0
    assert report["rejected"] + report["unchecked"] == 5000
    assert report["unchecked"] > 0


def test_a_failed_event_is_reported_as_rejected() -> None:
    events: list[Event | Failed] = [Failed(ValueError("broken"))]
    lines = encode_lines(events, "shop", "radar", NOON, "truncated")
    assert json.loads(report_on(events, lines, NOON, START))["rejected"] == 1


def test_a_dropped_request_reports_nothing() -> None:
    body = json.loads(DOOR.answer(request("/v1/events", b"[]"), Outcome.ACCEPTED).body)
    assert (body["accepted"], body["rejected"]) == (0, 0)
