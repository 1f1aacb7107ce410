"""PostHog's protocol: captured events, and empty responses to requests for flags and configuration.

Which id of an alias is the user's depends on the server SDK, so neither becomes the user id.
"""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import msgspec

from radar_assets.collector.door import (
    MAX_EVENTS,
    STATUS,
    Answer,
    Batch,
    Event,
    Failed,
    MalformedRequestError,
    Outcome,
    Request,
    Sender,
    attempt,
    identifier,
)
from radar_assets.collector.payloads import Payload, decode_either, is_object, rfc3339, shared_time, with_members
from radar_assets.collector.recognition import Shape, recognized
from radar_assets.collector.repairs import as_utf8, repair
from radar_assets.events.single_events import GROUP_PREFIX

_CAPTURES = ("/batch", "/capture", "/e", "/i/v0/e", "/i/v0/ai/batch")
_FLAGS = ("/decide", "/flags")
_CONFIG, _CONFIG_SCRIPT = "/array/{token}/config", "/array/{token}/config.js"
_TYPES = {
    "$pageview": "page",
    "$screen": "screen",
    "$identify": "identify",
    "$set": "identify",
    "$create_alias": "alias",
    "$merge_dangerously": "alias",
    "$groupidentify": "group",
}
_COOKIELESS = "$posthog_cookieless"
"""The distinct id that posthog-js sends in cookieless mode."""
_QUIET = msgspec.json.encode(
    {
        "config": {},
        "featureFlags": {},
        "featureFlagPayloads": {},
        "flags": {},
        "errorsWhileComputingFlags": False,
        "supportedCompression": ["gzip", "gzip-js"],
        "hasFeatureFlags": False,
        "sessionRecording": False,
        "surveys": False,
        "heatmaps": False,
        "capturePerformance": False,
        "autocaptureExceptions": False,
        "isAuthenticated": False,
        "toolbarParams": {},
        "siteApps": [],
    }
)
"""No flags, and every feature but events off. Clicks are captured unless the page turns it off."""


class _Captured(msgspec.Struct):
    event: Any = None
    uuid: Any = None
    distinct_id: Any = None
    timestamp: Any = None
    offset: Any = None
    """Milliseconds between event and request, from SDKs that don't trust the clock."""
    properties: Payload = msgspec.UNSET
    set_: Payload = msgspec.field(default=msgspec.UNSET, name="$set")
    set_once: Payload = msgspec.field(default=msgspec.UNSET, name="$set_once")


class _Exact(_Captured, forbid_unknown_fields=True):
    """An event without unknown members. The members below describe the SDK and the request rather than the event."""

    api_key: Payload = msgspec.UNSET
    token: Payload = msgspec.UNSET
    sent_at: Payload = msgspec.UNSET
    type: Payload = msgspec.UNSET
    library: Payload = msgspec.UNSET
    library_version: Payload = msgspec.UNSET
    library_consumer: Payload = msgspec.UNSET
    message_id: Payload = msgspec.field(default=msgspec.UNSET, name="messageId")
    historical_migration: Payload = msgspec.UNSET
    send_feature_flags: Payload = msgspec.UNSET


class _Properties(msgspec.Struct, rename=lambda name: f"${name}"):
    token: Any = msgspec.field(default=None, name="token")
    distinct_id: Any = msgspec.field(default=None, name="distinct_id")
    alias: Any = msgspec.field(default=None, name="alias")
    insert_id: Any = None
    session_id: Any = None
    screen_name: Any = None
    device_id: Any = None
    anon_distinct_id: Any = None
    is_identified: Any = None
    process_person_profile: Any = None
    group_type: Any = None
    group_key: Any = None


class _Request(msgspec.Struct):
    """An event, or a batch of them. Older SDKs for Python write `sentAt`."""

    api_key: Any = None
    token: Any = None
    sent_at: Any = None
    sent_at_camel: Any = msgspec.field(default=None, name="sentAt")
    batch: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _ExactRequest(_Request, forbid_unknown_fields=True):
    """A batch without unknown members. The one here says nothing of its events."""

    historical_migration: Payload = msgspec.UNSET


_KEYS = frozenset({"api_key", "token"})
_SHAPE = Shape(
    required=(frozenset({"event"}), frozenset({"distinct_id"})),
    known=frozenset(_Exact.__struct_encode_fields__) - _KEYS,
    keys=_KEYS,
    envelope=frozenset(_ExactRequest.__struct_encode_fields__) - _KEYS,
    within="properties",
    unused=lambda _, members: () if is_object(members.get("properties", msgspec.UNSET)) else ("$set", "$set_once"),
    expected='an object with event, distinct_id and properties, an array of them, or {"api_key": ..., "batch": [...]}',
)
_REQUEST, _EXACT_REQUEST = msgspec.json.Decoder(_Request), msgspec.json.Decoder(_ExactRequest)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_CAPTURED, _EXACT = msgspec.json.Decoder(_Captured), msgspec.json.Decoder(_Exact)
_PROPERTIES = msgspec.json.Decoder(_Properties)
_NO_PROPERTIES = _Properties()
_OF_ANOTHER = msgspec.Raw(b'"an event with the token of another project than that of its request"')
"""A line that the contract rejects: the event belongs to another project than the request."""


class PostHogDoor:
    """`POST /batch/`, `/capture/`, `/e/`, `/i/v0/e/`; `/flags`, `/decide` and the configuration that posthog-js loads."""

    name = "posthog"
    routes = (
        *(("POST", path + end) for path in _CAPTURES + _FLAGS for end in ("", "/")),
        ("GET", _CONFIG),
        ("GET", _CONFIG_SCRIPT),
    )

    def read(self, request: Request) -> Batch:
        """The events of a request."""
        if not request.path.rstrip("/").endswith(_CAPTURES):
            return Batch(None)
        body = _body(request).strip()
        if body.startswith(b"["):
            sent, raws = _Request(), _RAWS.decode(body)
        else:
            sent = _read(body)
            raws = [msgspec.Raw(body)] if sent.batch is msgspec.UNSET else sent.batch
        is_single = sent.batch is msgspec.UNSET
        shared = {} if is_single or isinstance(sent, _ExactRequest) else _SHAPE.unknown_beside(body, len(raws))
        # posthog-js puts the time, in ms since 1970, in the query if the body has none.
        sent_at = shared_time(sent.sent_at or sent.sent_at_camel or rfc3339(request.query.get("_")))
        found = [_captured(raw) for raw in raws[: MAX_EVENTS + 1]]
        tokens = (each[1].token for each in found if isinstance(each, tuple))
        given = sent.api_key or sent.token
        key = given or next(filter(None, tokens), None) or request.key
        if not given:
            # If the request has a key, `token` may be any property of the application.
            found = [_OF_ANOTHER if _is_of_another(each, key) else each for each in found]
        events = [_event_of(each, request, sent_at, key) for each in found]
        is_exact = all(isinstance(each, tuple) and _is_exact(each[0]) for each in found)
        return Batch(
            key if isinstance(key, str) else None,
            recognized(events, lambda: raws[: MAX_EVENTS + 1], _SHAPE, is_exact=is_exact, shared=shared),
        )

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """The response that the SDK expects, or an error with the members that SDKs show."""
        if outcome is not Outcome.ACCEPTED:
            kind = "authentication_error" if outcome is Outcome.UNAUTHORIZED else "validation_error"
            words = {"type": kind, "code": outcome.value, "detail": detail}
            return Answer(STATUS[outcome], msgspec.json.encode(words))
        if request.path.endswith(".js"):
            return Answer(200, b"", "application/javascript")
        if request.path.rstrip("/").endswith(_CAPTURES):
            return Answer(200, b'{"status":1}')
        return Answer(200, _QUIET)


def _body(request: Request) -> bytes:
    """The JSON of a request; a page that is left sends it as the field `data` of a form, in base64."""
    if not request.body.startswith(b"data="):
        return request.body
    form = parse_qs(request.body.decode(), keep_blank_values=True)
    data = form["data"][0].encode()
    if "base64" not in (request.query.get("compression"), *form.get("compression", ())):
        return data
    try:
        return repair(as_utf8(base64.b64decode(data.replace(b" ", b"+"), validate=True)))
    except binascii.Error as error:
        raise MalformedRequestError(f"data is not base64: {error}") from error


def _read(body: bytes) -> _Request:
    try:
        return decode_either(_EXACT_REQUEST, _REQUEST, body) if b'"batch"' in body else _REQUEST.decode(body)
    except msgspec.ValidationError as error:
        raise MalformedRequestError(
            f"the body has to be a JSON object, an event or with an array batch: {error}"
        ) from error


def _captured(raw: msgspec.Raw) -> tuple[_Captured, _Properties] | msgspec.Raw:
    """An event and the properties that matter here, or its JSON if it can't be decoded."""
    try:
        captured = _EXACT.decode(raw)
    except (msgspec.ValidationError, RecursionError):
        try:
            captured = _CAPTURED.decode(raw)
        except (msgspec.ValidationError, RecursionError):
            return raw
    try:
        return captured, _PROPERTIES.decode(captured.properties or b"{}")
    except (msgspec.ValidationError, RecursionError):
        return captured, _NO_PROPERTIES


def _is_exact(captured: _Captured) -> bool:
    return isinstance(captured, _Exact) and is_object(captured.properties)


def _is_of_another(found: tuple[_Captured, _Properties] | msgspec.Raw, key: Any) -> bool:
    return isinstance(found, tuple) and found[1].token not in (None, "", key)


def _event_of(
    found: tuple[_Captured, _Properties] | msgspec.Raw, request: Request, sent_at: Any, key: Any
) -> Event | msgspec.Raw | Failed:
    return attempt(_event, *found, request, sent_at, key) if isinstance(found, tuple) else found


def _event(captured: _Captured, properties: _Properties, request: Request, sent_at: Any, key: Any) -> Event:
    kind = _TYPES.get(captured.event) if isinstance(captured.event, str) else None
    user_id, anonymous_id = _ids(kind, captured, properties, request.sender, key)
    return Event(
        event_id=captured.uuid or properties.insert_id,
        type=kind,
        event=None if kind else captured.event,
        user_id=user_id,
        anonymous_id=anonymous_id,
        session_id=properties.session_id,
        timestamp=captured.timestamp or _before(request.received_at, captured.offset),
        sent_at=sent_at if captured.timestamp else None,
        properties=with_members(
            captured.properties,
            {
                "alias_id": identifier(properties.alias) if kind == "alias" else None,
                "title": properties.screen_name if kind == "screen" else None,
                "$set": captured.set_,
                "$set_once": captured.set_once,
            },
            # posthog-js puts the key into each event; keys are never stored.
            without=("token",) if properties.token is not None else (),
        ),
    )


def _ids(kind: str | None, captured: _Captured, properties: _Properties, sender: Sender, key: Any) -> tuple[Any, Any]:
    """User id and anonymous id."""
    own = identifier(captured.distinct_id or properties.distinct_id)
    if own == _COOKIELESS:
        return None, sender.visitor_id(str(key))
    device = properties.anon_distinct_id or properties.device_id
    if kind == "group" and device is None:
        # Server SDKs generate an id for each call. The group's id is stable, and is recognised as not a visitor's.
        name, group = properties.group_type, identifier(properties.group_key)
        return None, f"{GROUP_PREFIX}{name}:{group}" if name and group else None
    is_anonymous = properties.is_identified is False or properties.process_person_profile is False
    if (kind == "alias" and device is None) or own == device or is_anonymous:
        return None, own
    return own, identifier(device)


def _before(received_at: datetime, offset_ms: Any) -> str | None:
    if not isinstance(offset_ms, int | float):
        return None
    try:
        return f"{(received_at - timedelta(milliseconds=offset_ms)).isoformat()}Z"
    except (OverflowError, ValueError):
        return None
