"""One messy day of a small shop: what its senders sent, through which door and when, person by person.

What it amounts to is worked out by hand in `test_messy_day.py`. Letters are kinds of oddities: A automatic events, B visits, C money,
D bad fields, E resends and clocks, F ties, G pages of other events, H midnight, I placeholder ids, J bad bytes, K access logs, L URLs,
M known users, N requests that look alike, O bots and shared ids, P names, Q shared devices, R days.
"""

import json
from datetime import datetime
from typing import Any

Fields = dict[str, Any]

SHOP = "https://shop.example"
SITE, UMAMI, SNOWPLOW = "shop.example", "umami-site", "snowplow-app"
KEYS = (SITE, UMAMI, SNOWPLOW)
CONFIG = """
event_names:
  - {name: Spende, counts_as: purchase}
  - {name: order_placed, counts_as: nothing}
internal_traffic:
  - {name: office, addresses: [192.0.2.0/24]}
  - {name: team, hosts: [staging.shop.example], users: [u-team], flags: [internal]}
"""

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) {} Mobile/15E148"
)
IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/604.1"
)
# Without cookies, browsers tell visitors apart.
ANN, PIA = WINDOWS, f"{WINDOWS} Edg/141.0.0.0"
MIA = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
NOA = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15"
PUPILS = (
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)


def client(user_agent: str, country: str) -> Fields:
    """The context of a browser."""
    return {"userAgent": user_agent, "location": {"country": country}}


DESKTOP, TABLET = client(WINDOWS, "DE"), client(IPAD, "DE")
FRENCH_PHONE, US_PHONE = (client(IPHONE.format("Version/18.6"), country) for country in ("FR", "US"))
SOGOU = client(IPHONE.format("SogouMobileBrowser/12.5"), "CN")
GOOGLEBOT = client("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "US")
OFFICE = {**DESKTOP, "ip": "192.0.2.77"}
BLOG = "/blog?utm_source=news%20&amp;utm_medium=email&amp;utm_campaign=xmas"
SERVER = {"library": {"name": "shop-backend"}}


def moment(text: str) -> datetime:
    """`12:30`, `12:30:05.500` or, on another day, `30 08:00`."""
    day, _, time = text.rpartition(" ")
    return datetime.fromisoformat(f"2026-11-{day or 29}T{time}")


def stamp(text: str) -> str:
    return f"{moment(text).isoformat()}Z"


def post(clock: str, path: str, body: Any, headers: Fields) -> Fields:
    clock = moment(clock).isoformat(" ", "microseconds")
    kind = "body_hex" if isinstance(body, bytes) else "body"
    return {
        "clock": clock,
        "method": "POST",
        "path": path,
        "headers": headers,
        kind: body.hex() if isinstance(body, bytes) else body,
    }


def page(path: str, referrer: str = "", **members: Any) -> Fields:
    """A page view; members are those of the protocol, and `at` is its time if it isn't that of its receipt."""
    return {
        "type": "page",
        "properties": {"url": path if "://" in path else SHOP + path, "referrer": referrer},
        **members,
    }


def track(event: str, properties: Any = None, **members: Any) -> Fields:
    return {"type": "track", "event": event, "properties": properties or {}, **members}


def call(kind: str, **members: Any) -> Fields:
    return {"type": kind, **members}


def sent(who: str, message: Fields, context: Fields, names: tuple[str, str]) -> Fields:
    """An event of `device/user`, either of which may be missing."""
    device, _, user = who.partition("/")
    at = {"timestamp": stamp(message["at"])} if "at" in message else {}
    ids = {name: value for name, value in zip(names, (device, user), strict=True) if value}
    return {**ids, **at, "context": context, **{name: value for name, value in message.items() if name != "at"}}


def segment(
    clock: str, who: str, *messages: Fields, of: Fields = DESKTOP, sent_at: str = "", session: int = 0
) -> Fields:
    """A batch of Segment's SDK, or of RudderStack's if it has a session id."""
    context = {**of, "sessionId": session} if session else of
    batch = [sent(who, message, context, ("anonymousId", "userId")) for message in messages]
    shared = {"sentAt": stamp(sent_at)} if sent_at else {}
    return post(clock, "/v1/batch", {"writeKey": "key-shop", "batch": batch, **shared}, {})


def radar(clock: str, who: str, *messages: Fields, of: Fields = DESKTOP, session: str = "") -> Fields:
    """Events of `radar.js`, or of a script of the shop."""
    shared = {"session_id": session} if session else {}
    body = [{**shared, **sent(who, message, of, ("anonymous_id", "user_id"))} for message in messages]
    return post(clock, "/v1/events", body, {"Authorization": "Bearer key-shop"})


def plausible(clock: str, browser: str, name: str, path: str, **members: Any) -> Fields:
    url = path if "://" in path else SHOP + path
    return post(clock, "/api/event", {"d": SITE, "n": name, "u": url, **members}, {"User-Agent": browser})


def umami(clock: str, browser: str, path: str) -> Fields:
    payload = {"website": UMAMI, "hostname": SITE, "url": path}
    return post(clock, "/api/send", {"type": "event", "payload": payload}, {"User-Agent": browser})


def posthog(clock: str, who: str, *events: tuple[str, str]) -> Fields:
    """A batch of posthog-js on one page: time and name of each event."""
    given = {"distinct_id": who, "$device_id": who, "$session_id": f"ph-{who}", "$current_url": f"{SHOP}/"}
    given |= {"$referrer": "https://www.facebook.com/", "$raw_user_agent": FRENCH_PHONE["userAgent"]}
    given |= {"$geoip_country_code": "FR"}
    batch = [{"event": name, "timestamp": stamp(at), "properties": given} for at, name in events]
    return post(clock, "/batch/", {"api_key": "key-shop", "sent_at": stamp(clock), "batch": batch}, {})


def snowplow(clock: str, who: str, kind: str, path: str, at: str = "") -> Fields:
    def ms(text: str) -> str:
        return str(int((moment(text) - datetime(1970, 1, 1)).total_seconds() * 1000))

    event = {"e": kind, "aid": SNOWPLOW, "p": "web", "duid": who, "sid": f"sp-{who}", "url": SHOP + path}
    times = {"dtm": ms(at or clock), "stm": ms(clock)}
    return post(clock, "/com.snowplowanalytics.snowplow/tp2", {"data": [{**event, **times}]}, {"User-Agent": MIA})


ORDER_7 = {"order_id": "7", "revenue": 25}
OFFERS = page("/offers?utm_source=instagram&utm_medium=social", at="15:00", messageId="jon-1")
JULES = {"anonymous_id": "jules", "context": DESKTOP}
CAFE = json.dumps([page("/menu", **JULES), track("Café opened", **JULES)], ensure_ascii=False)
STACK = {"stack": "at checkout.js:1\n" * 3000}

TRAFFIC = [
    # Oli is signed in on a laptop the day before, and on a new phone today: not new (M). A group call is automatic (A).
    radar("28 20:00", "oli-laptop/u-oli", page("/")),
    segment("18:00", "oli-phone/u-oli", page("/shoes"), of=FRENCH_PHONE),
    segment("18:01", "oli-phone/u-oli", call("group", groupId="club"), of=FRENCH_PHONE),
    # Ann comes from an ad and buys after midnight UTC: one visit, of the day before (H, R). In the morning she has a new id.
    plausible("28 23:50", ANN, "pageview", "/sale?utm_source=google&utm_medium=cpc"),
    plausible("28 23:58", ANN, "pageview", "/shoes"),
    plausible("00:05", ANN, "Purchase", "/shoes", revenue={"amount": 60, "currency": "EUR"}),
    plausible("00:06", ANN, "engagement", "/shoes", sd=80, e=50_000),
    plausible("09:30", ANN, "pageview", "/", r="https://www.google.com/"),
    plausible("09:39", ANN, "engagement", "/", sd=100, e=540_000),
    # A nightly job: its renewal is an order, but not a visit (B). An invoice is not a purchase (C).
    radar(
        "03:00",
        "/u-gus",
        track("invoice_paid", {"revenue": 9}),
        track("Order Completed", {"order_id": "R-1", "revenue": 12.5}),
        of=SERVER,
    ),
    radar("03:00", "/u-hal", track("subscription.started", {"revenue": 9}), of=SERVER),
    # Carl's app identifies him and does nothing else: a user, but no visitor and no visit (A).
    segment("08:00", "carl/u-carl", call("identify")),
    # Bob leaves after one page; the rest is automatic (A).
    posthog(
        "10:04",
        "bob",
        ("10:00", "$pageview"),
        ("10:00:01", "$feature_flag_called"),
        ("10:00:02", "$web_vitals"),
        ("10:04", "$pageleave"),
    ),
    # Dora reads one page for twenty minutes (A). Her link has a blank and an escaped ampersand (L).
    snowplow("10:00", "dora", "pv", BLOG),
    snowplow("10:10", "dora", "pp", BLOG),
    snowplow("10:20", "dora", "pp", BLOG),
    # Eve signs in and out under three ids, but with one session id (B).
    segment("11:00", "eve-1", page("/", "https://www.bing.com/"), session=1700000001),
    segment("11:01", "eve-1/u-eve", call("identify"), session=1700000001),
    segment("11:02", "/u-eve", page("/account"), session=1700000001),
    segment("11:03", "eve-2", page("/bye"), session=1700000001),
    # Finn's order is reported by the shop's server first, then twice by the page that confirms it (B, C).
    segment("11:30", "finn", page("/shoes?gad_source=1"), of=FRENCH_PHONE),
    segment("11:31", "finn", track("Checkout Started", ORDER_7), of=FRENCH_PHONE),
    radar("11:32", "finn", track("Order Completed", ORDER_7), of=SERVER),
    segment("11:33", "finn", page("/thanks"), track("Order Completed", ORDER_7), of=FRENCH_PHONE),
    segment("11:34", "finn", page("/thanks"), track("Order Completed", ORDER_7), of=FRENCH_PHONE),
    # Gina pauses for 30 minutes, which is one visit, and for 31, which starts another (B).
    segment("12:00", "gina", page("/")),
    segment("12:30", "gina", page("/about")),
    segment("13:01", "gina", page("/jobs", "https://partner.example/")),
    # Hugo buys under many names and with many kinds of amounts (C, P).
    segment("13:30", "hugo/u-hugo", page("/cart", "https://chatgpt.com/")),
    segment("13:31", "hugo/u-hugo", track("OrderCompleted", {"order_id": "A", "revenue": "$19.99"})),
    segment("13:32", "hugo/u-hugo", track("purchase", {"transaction_id": "B", "value": "1,299"})),
    segment("13:33", "hugo/u-hugo", track("purchase", {"order_id": "C", "revenue": "1.299,00 EUR"})),
    segment("13:34", "hugo/u-hugo", track("purchase", {"order_id": "undefined", "revenue": 5})),
    segment("13:35", "hugo/u-hugo", track("purchase", {"order_id": "undefined", "revenue": 5})),
    segment("13:36", "hugo/u-hugo", track("Spende", {"revenue": 7})),
    segment("13:37", "hugo/u-hugo", track("order_placed", {"order_id": "D", "revenue": 8})),
    segment("13:38", "hugo/u-hugo", track("purchase", {"order_id": "E", "revenue": -4})),
    segment("13:50", "hugo/u-hugo", track("order canceled", {"order_id": "A"})),
    segment("13:51", "hugo/u-hugo", track("Order Refunded", {"order_id": "C", "total": "299,00"})),
    # Ivy's app gets optional fields wrong, and no event is lost (D). Her session id in the path is cut (L).
    radar("14:00", "ivy", page("/login.jsp;jsessionid=1A53", timestamp="2026-11-29T14:00:00+0000", user_id="")),
    radar("14:01", "ivy", {**track("SignedUp"), "properties": [], "user_id": 42.0, "timestamp": 1795960860000}),
    radar("14:02", "ivy", track("js_error", STACK, sent_at=0)),
    radar("14:03", "ivy", track("x" * 250, timestamp="soon")),
    # Jon's phone sends its event again: the same bytes three hours later, and with a new time of sending (E).
    segment("15:00", "jon", OFFERS, of=US_PHONE, sent_at="15:00"),
    segment("18:00", "jon", OFFERS, of=US_PHONE, sent_at="15:00"),
    segment("18:02", "jon", OFFERS, of=US_PHONE, sent_at="18:02"),
    # Kim's clock is two hours slow, then `sentAt` is before the event, then an event is of next week (D, E).
    segment("16:00", "kim", page("/gifts", at="14:00"), sent_at="14:00"),
    segment("16:02", "kim", track("Wishlist", at="16:01:30"), sent_at="15:00"),
    segment("16:03", "kim", track("Compare", timestamp="2026-12-05T16:03:00Z")),
    # Lea is redirected twice within a second; the order in the request decides (F).
    radar(
        "16:31",
        "lea",
        page("/", "https://duckduckgo.com/", at="16:30"),
        page("/de/", at="16:30"),
        page("/de/start", at="16:30"),
        session="s-lea",
    ),
    # Mia follows a link to another site: the click happens on the blog (G).
    plausible("17:00", MIA, "pageview", "/blog"),
    plausible("17:01", MIA, "Outbound Link: Click", "/blog", p={"url": "https://partner.example/?utm_source=deal"}),
    # Two strangers with user ids that are none, and an event without any usable id (I).
    segment("17:10", "nil-1/undefined", page("/")),
    segment("17:10", "nil-2/null", page("/")),
    segment("17:11", "anonymous/undefined", track("Seen")),
    # Jules's till writes Latin-1 after a byte order mark (J).
    post("17:20", "/v1/events", "\ufeff".encode() + CAFE.encode("latin-1"), {"Authorization": "Bearer key-shop"}),
    # Noa uses an app that routes by the fragment, and comes from a subdomain of the same site (L).
    plausible("17:40", NOA, "pageview", "https://app.shop.example/#/pricing", h=1, r="https://www.shop.example/"),
    plausible("17:41", NOA, "pageview", "https://app.shop.example/#/signup", h=1),
    # Paul's links spell one page in two ways (L).
    segment("17:50", "paul", page("/caf%C3%A9")),
    segment("17:51", "paul", page("/%63af%c3%a9?x=1")),
    # Pia clicks twice, and one click is sent again within 2 seconds; pupils open a page one second apart (N).
    plausible("18:10", PIA, "pageview", "/shoes"),
    *(plausible(f"18:10:{second}", PIA, "Add to cart", "/shoes") for second in ("10", "11.500", "14")),
    *(umami(f"18:20:{second}", PUPILS, "/class") for second in ("00", "00.500", "01", "02")),
    # A crawler, with an order in a page that it runs; Sogou's browser is not one (O).
    segment("18:30", "crawler", page("/shoes"), track("purchase", {"order_id": "BOT", "revenue": 99}), of=GOOGLEBOT),
    segment("18:40", "sogou", page("/"), of=SOGOU),
    # Two devices send different pages under one event id: the first one counts, and a check shows it (O).
    segment("18:50", "sam-1", page("/a", messageId="same-id")),
    segment("18:51", "sam-2", page("/b", messageId="same-id")),
    # Three users of one tablet (Q).
    *(
        radar(f"19:{minute}", f"tablet/u-{user}", page("/kiosk"), of=TABLET)
        for minute, user in (("00", 1), ("05", 2), ("10", 3))
    ),
    # Quin buys on a phone without signing in there; the shop's server knows the user id only. Then Quin signs in on a laptop.
    segment("19:30", "quin-phone", page("/sale?utm_medium=email&utm_source=spring"), of=FRENCH_PHONE),
    radar(
        "19:35",
        "/u-quin",
        track("Order Completed", {"order_id": "Q-1", "revenue": 40}, event_id="quin-order"),
        of=SERVER,
    ),
    segment("20:00", "quin-laptop/u-quin", page("/account")),
    # Internal traffic by host, user, flag and address. The flag marks one page, so the boss's next one counts.
    segment("20:10", "developer", page("https://staging.shop.example/")),
    segment("20:11", "team/u-team", page("/"), track("purchase", {"order_id": "T-1", "revenue": 500})),
    segment("20:12", "boss", page("/?internal=1")),
    segment("20:13", "boss", page("/shoes")),
    segment("20:14", "office", page("/"), of=OFFICE),
    # Rita's visit goes on after midnight: all of it is of the day on which it starts (R).
    segment("23:50", "rita", page("/sale")),
    segment("30 00:10", "rita", page("/shoes")),
]

LOG_ENTRY = '203.0.113.9 - - [29/Nov/2026:17:30:{:02} +0000] "{} HTTP/1.1" {} 512 "-" "{}"'
# Kurt in an access log: one page, with its style, a redirect, a form and a page that is missing (K).
ACCESS_LOG = "".join(
    LOG_ENTRY.format(second, request, status, NOA) + "\n"
    for second, request, status in (
        (0, "GET /imprint", 200),
        (1, "GET /style.css", 200),
        (2, "GET /old", 301),
        (3, "POST /contact", 200),
        (40, "GET /missing", 404),
    )
)

MORNING = "30 08:00"
LATE = [
    # A page between Gina's two visits makes them one.
    segment(MORNING, "gina", page("/team", at="12:45"), sent_at=MORNING),
    # A late order of a stranger, whose visit then no longer bounces.
    segment(MORNING, "nil-1", track("purchase", {"order_id": "N-1", "revenue": 30}, at="17:15"), sent_at=MORNING),
    # A late refund of Finn's order: by a server, 16 minutes after his last event, so it joins his visit and lengthens it.
    radar(MORNING, "finn", track("refund", ORDER_7, at="11:50"), of=SERVER),
    # Order C again under another event id: a repetition. Order B with a readable amount: its revenue, but no second order.
    radar(MORNING, "/u-hugo", track("Order Completed", {"order_id": "C", "revenue": 1299}, at="20:30"), of=SERVER),
    radar(MORNING, "/u-hugo", track("Order Completed", {"order_id": "B", "revenue": 1299}, at="13:40"), of=SERVER),
    # A second page of Dora, and Bob's second `$pageleave`, which still ends no bounce.
    snowplow(MORNING, "dora", "pv", "/blog/2", at="10:25"),
    posthog(MORNING, "bob", ("10:09", "$pageleave")),
    # Quin's phone says who it is, so the order of the server is part of its visit, and two visitors are one.
    segment(MORNING, "quin-phone/u-quin", call("identify", at="19:32"), of=FRENCH_PHONE, sent_at=MORNING),
    # Two people who were offline all evening.
    segment(MORNING, "zoe", page("/", "https://t.co/x", at="21:00"), of=US_PHONE, sent_at=MORNING),
    segment(MORNING, "yan", page("/shoes", at="22:00"), track("Add to cart", at="22:01"), of=US_PHONE, sent_at=MORNING),
    # Lea and Paul were there the day before, so they are not new.
    radar(MORNING, "lea", page("/", at="28 10:00")),
    radar(MORNING, "paul", page("/", at="28 10:00")),
    # Jon's event once more.
    segment(MORNING, "jon", OFFERS, of=US_PHONE, sent_at=MORNING),
]
