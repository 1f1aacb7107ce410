"""Snowplow's door: events of each kind, encoded fields, and batches with events of several projects."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from radar_assets.collector.door import MalformedRequestError, Outcome
from radar_assets.collector.doors.snowplow import SnowplowDoor
from radar_assets.events.contract import CanonicalEvent, Reason, Rejection
from radar_assets_tests.collector.wire import ADDRESS, BROWSER, NOON, events, request, verdicts

DOOR = SnowplowDoor()
POST = "/com.snowplowanalytics.snowplow/tp2"
SCHEMA = "iglu:com.snowplowanalytics.snowplow"


def described(name: str, data: Any) -> dict[str, Any]:
    return {"schema": f"{SCHEMA}/{name}/jsonschema/1-0-0", "data": data}


def packed(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def landed(**fields: Any) -> CanonicalEvent:
    (event,) = events(DOOR, request(POST, {"data": [{"aid": "site", "uid": "ann", "p": "web", **fields}]}))
    return event


@pytest.mark.parametrize(
    ("fields", "kind", "event", "properties"),
    [
        (
            {"e": "pv", "url": "https://a.example/", "page": "A", "refr": "https://b.example/"},
            "page",
            "page_view",
            {"url": "https://a.example/", "title": "A", "referrer": "https://b.example/"},
        ),
        ({"e": "pp", "pp_miy": "0", "pp_may": "100"}, "track", "page_ping", {"y_min": 0, "y_max": 100}),
        (
            {"e": "se", "se_ca": "shop", "se_ac": "add", "se_la": "l", "se_pr": "p", "se_va": "2.5"},
            "track",
            "add",
            {"label": "l", "property": "p", "value": 2.5},
        ),
        (
            {"e": "tr", "tr_id": "7", "tr_tt": "14.99", "tr_cu": "EUR"},
            "track",
            "transaction",
            {"order_id": "7", "revenue": 14.99, "currency": "EUR"},
        ),
        (
            {"e": "ti", "ti_id": "7", "ti_sk": "sku", "ti_pr": "14.99", "ti_qu": "1"},
            "track",
            "transaction_item",
            {"order_id": "7", "product_id": "sku", "price": 14.99, "quantity": 1},
        ),
    ],
)
def test_each_kind_of_event_gets_type_name_and_properties(
    fields: dict[str, str], kind: str, event: str, properties: dict[str, Any]
) -> None:
    found = landed(**fields)
    assert (found.type, found.event, found.properties) == (kind, event, properties)


@pytest.mark.parametrize("as_text", [True, False])
def test_self_describing_events_are_read_plain_and_in_base64(as_text: bool) -> None:
    def field(name: str, packed_name: str, value: Any) -> dict[str, str]:
        return {name: json.dumps(value)} if as_text else {packed_name: packed(value)}

    click = described("unstruct_event", described("link_click", {"targetUrl": "https://ü.example/?a>b"}))
    session = described("client_session", {"userId": "device", "sessionId": "s-1"})
    contexts = described("contexts", [described("web_page", {"id": "w"}), session])
    found = landed(e="ue", **field("ue_pr", "ue_px", click), **field("co", "cx", contexts))
    assert (found.type, found.event) == ("track", "link_click")
    assert found.properties == {"targetUrl": "https://ü.example/?a>b"}
    assert (found.anonymous_id, found.session_id) == ("device", "s-1")
    assert found.context is not None
    assert found.context["schema"] == f"{SCHEMA}/link_click/jsonschema/1-0-0"
    assert found.context["entities"] == contexts["data"]


def test_snowplows_screen_view_becomes_a_screen_view() -> None:
    found = landed(e="ue", ue_px=packed(described("unstruct_event", described("screen_view", {"name": "Start"}))))
    assert (found.type, found.event) == ("screen", "screen_view")
    assert found.properties == {"name": "Start", "title": "Start"}


def test_a_purchase_of_the_shop_plugin_has_its_revenue_where_every_door_has_it() -> None:
    action = described("unstruct_event", described("snowplow_ecommerce_action", {"type": "transaction"}))
    paid = described("contexts", [described("transaction", {"revenue": 14.99, "currency": "EUR"})])
    found = landed(e="ue", ue_px=packed(action), cx=packed(paid))
    assert found.event == "transaction"
    assert found.properties == {"type": "transaction", "revenue": 14.99, "currency": "EUR"}


def test_times_are_those_of_the_senders_clock_unless_one_is_known_to_be_exact() -> None:
    happened = str(1773144000000 - 7_200_000)
    wrong = landed(e="pv", dtm=happened, stm=str(1773144000000 - 3_600_000))
    assert wrong.event_time == NOON.replace(hour=11)
    sure = landed(e="pv", ttm=happened, dtm="1", stm="2")
    assert (sure.event_time, sure.sent_at) == (NOON.replace(hour=10), None)
    assert landed(e="pv").event_time == NOON


def test_the_user_agent_is_that_of_browsers_but_not_of_servers() -> None:
    context = landed(e="pv", res="1920x1080", vp="1000x700", lang="de", tz="Europe/Berlin").context
    assert context == {
        "userAgent": BROWSER,
        "screen": {"width": 1920, "height": 1080},
        "viewport": {"width": 1000, "height": 700},
        "locale": "de",
        "timezone": "Europe/Berlin",
        "platform": "web",
    }
    assert landed(e="pv", p="srv").context == {"platform": "srv"}
    assert landed(e="pv", p="srv", ua="theirs").context == {"platform": "srv", "userAgent": "theirs"}


def test_other_events_have_their_page_and_their_properties() -> None:
    context = landed(e="se", se_ac="add", url="https://a.example/").context
    assert context is not None
    assert context["page"] == {"url": "https://a.example/"}


def test_a_pixel_request_is_an_event_and_gets_an_image() -> None:
    asked = request(f"/i?{urlencode({'e': 'pv', 'aid': 'mail', 'url': 'https://a.example/', 'ip': ADDRESS})}")
    assert DOOR.read(asked).key == "mail"
    (event,) = events(DOOR, asked)
    assert (event.type, event.user_id) == ("page", None)
    assert event.anonymous_id == asked.sender.visitor_id("mail")
    assert ADDRESS not in repr(event)
    answer = DOOR.answer(asked, Outcome.ACCEPTED)
    assert (answer.status, answer.content_type, answer.body[:6], len(answer.body)) == (200, "image/gif", b"GIF89a", 43)
    assert DOOR.answer(request(POST, {}), Outcome.ACCEPTED).body == b"ok"


def test_events_with_another_app_id_do_not_land_in_the_firsts_project() -> None:
    data = [{"e": "pv", "aid": aid, "uid": "ann", "eid": aid} for aid in ("one", "two", "one")]
    sent = request(POST, {"data": data})
    assert DOOR.read(sent).key == "one"
    assert [isinstance(verdict, CanonicalEvent) for verdict in verdicts(DOOR, sent)] == [True, False, True]


def test_bad_events_become_rejected_lines_beside_good_ones() -> None:
    ok = {"e": "pv", "aid": "site", "uid": "ann", "eid": "ok"}
    data = [ok, {**ok, "e": "ue", "ue_px": "no base64!"}, {**ok, "dtm": "noon"}, {**ok, "e": None}, "text", ok]
    found = verdicts(DOOR, request(POST, {"data": data}))
    assert [verdict.reason for verdict in found if isinstance(verdict, Rejection)] == [
        Reason.MISSING_FIELD,
        Reason.MISSING_FIELD,
        Reason.NOT_AN_OBJECT,
    ]
    assert [getattr(found[index], "event_id", None) for index in (0, -1)] == ["ok", "ok"]


@pytest.mark.parametrize("body", [[], {"data": "none"}, {}])
def test_invalid_batches_are_refused(body: Any) -> None:
    with pytest.raises(MalformedRequestError, match="an array named data"):
        DOOR.read(request(POST, body))
