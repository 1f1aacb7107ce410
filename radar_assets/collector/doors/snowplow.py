"""Snowplow's protocol: flat events with short names, in POST batches or the query of a pixel.

The app id is the key, since trackers have no other. Structured values are JSON, plain or in base64.
"""

import base64
import binascii
from collections.abc import Collection, Mapping
from typing import Any

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
    attempt,
    identifier,
)
from radar_assets.collector.payloads import decode_either, number, rfc3339, size
from radar_assets.collector.recognition import Shape, recognized
from radar_assets.collector.repairs import as_utf8
from radar_assets.events.user_agents import LOOKED_AT

_PIXEL = base64.b64decode("R0lGODlhAQABAPAAAAAAAAAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
"""A GIF of one transparent point."""
_STRUCTURED = {"se_la": "label", "se_pr": "property", "se_va": "value"}
_PING = {"pp_mix": "x_min", "pp_max": "x_max", "pp_miy": "y_min", "pp_may": "y_max"}
_ORDER = {
    "tr_id": "order_id",
    "tr_tt": "revenue",
    "tr_af": "affiliation",
    "tr_tx": "tax",
    "tr_sh": "shipping",
    "tr_ci": "city",
    "tr_st": "state",
    "tr_co": "country",
    "tr_cu": "currency",
}
# Without a revenue, because the event of the order has it.
_ITEM = {
    "ti_id": "order_id",
    "ti_sk": "product_id",
    "ti_nm": "name",
    "ti_ca": "category",
    "ti_pr": "price",
    "ti_qu": "quantity",
    "ti_cu": "currency",
}
_NUMBERS = frozenset({"se_va", "tr_tt", "tr_tx", "tr_sh", "ti_pr", "ti_qu", *_PING})
_PAGE = {"url": "url", "page": "title", "refr": "referrer"}
_LIBRARY = {"tv": "name", "tna": "namespace"}
_CONTEXT = {"ua": "userAgent", "lang": "locale", "tz": "timezone", "p": "platform"}
_SIZES = {"res": "screen", "vp": "viewport"}
_EVENTS = {
    "pv": ("page", None, {}),
    "pp": ("track", "page_ping", _PING),
    "tr": ("track", "transaction", _ORDER),
    "ti": ("track", "transaction_item", _ITEM),
}
"""Type, name and properties of the events whose names Snowplow has set."""
_SAME = frozenset(
    {
        *_PAGE,
        *_LIBRARY,
        *_CONTEXT,
        *_SIZES,
        *("e", "eid", "uid", "duid", "nuid", "tnuid", "sid", "dtm", "stm", "ttm", "ip", "co", "cx", "ue_pr", "ue_px"),
        # Of the browser and the tracker, and not kept.
        *("cd", "cookie", "cs", "ds", "fp", "tid", "vid", "mac", "evn"),
        *("f_pdf", "f_qt", "f_realp", "f_wma", "f_dir", "f_fla", "f_java", "f_gears", "f_ag"),
    }
)
_OF_TYPE = {
    **{kind: frozenset(names) for kind, (_, _, names) in _EVENTS.items()},
    "se": frozenset({"se_ac", "se_ca", *_STRUCTURED}),
}
"""Members that only events of one type use; all use the others."""
_OF_TYPES = frozenset[str]().union(*_OF_TYPE.values())
_KEYS = frozenset({"aid"})


def _used(event_type: Any) -> frozenset[str]:
    """Members that events of a type use. The type can be any value."""
    return _OF_TYPE.get(event_type, frozenset()) if isinstance(event_type, str) else frozenset()


def _unused(_event: Event, members: Mapping[str, msgspec.Raw]) -> Collection[str]:
    return _OF_TYPES - _used(msgspec.json.decode(members.get("e", b"null")))


def _is_exact(fields: Mapping[str, Any] | None) -> bool:
    return fields is not None and fields.keys() <= _KEYS | _SAME | _used(fields.get("e"))


class _Payload(msgspec.Struct):
    data: list[msgspec.Raw]


class _ExactPayload(_Payload, forbid_unknown_fields=True):
    """A batch without unknown members."""

    schema: Any = None


class _Described(msgspec.Struct):
    data: Any


_SHAPE = Shape(
    required=(frozenset({"e", "aid"}),),
    known=_SAME | _OF_TYPES,
    keys=_KEYS,
    envelope=frozenset(_ExactPayload.__struct_encode_fields__),
    unused=_unused,
    expected='{"schema": ..., "data": [...]} of objects with e, the type of event, and aid, the app id',
)
_PAYLOAD, _EXACT_PAYLOAD = msgspec.json.Decoder(_Payload), msgspec.json.Decoder(_ExactPayload)
_FIELDS = msgspec.json.Decoder(dict[str, Any])
_DESCRIBED = msgspec.json.Decoder(_Described)


class SnowplowDoor:
    """`POST /com.snowplowanalytics.snowplow/tp2` and `GET /i`."""

    name = "snowplow"
    routes = (("POST", "/com.snowplowanalytics.snowplow/tp2"), ("GET", "/i"))

    def read(self, request: Request) -> Batch:
        """The events of a request. Events with another app id than the first are rejected."""
        if request.method == "GET":
            sent = msgspec.Raw(msgspec.json.encode(request.query))
            events = [attempt(_event, request.query, request)]
            events = recognized(events, lambda: [sent], _SHAPE, is_exact=_is_exact(request.query))
            return Batch(request.query.get("aid"), events)
        payload = _payload(request.body)
        raws = payload.data[: MAX_EVENTS + 1]
        shared = {} if isinstance(payload, _ExactPayload) else _SHAPE.unknown_beside(request.body, len(raws))
        sent = [_fields(raw) for raw in raws]
        key = next((fields["aid"] for fields in sent if fields and isinstance(fields.get("aid"), str)), None)
        events = [_event_of(fields, raw, key, request) for fields, raw in zip(sent, raws, strict=True)]
        return Batch(key, recognized(events, lambda: raws, _SHAPE, is_exact=all(map(_is_exact, sent)), shared=shared))

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """The pixel, or a short text."""
        if outcome is Outcome.ACCEPTED and request.method == "GET":
            return Answer(200, _PIXEL, "image/gif", {"Cache-Control": "no-cache, no-store, must-revalidate"})
        text = "ok" if outcome is Outcome.ACCEPTED else f"{outcome.value}: {detail}"
        return Answer(STATUS[outcome], text.encode(), "text/plain; charset=utf-8")


def _payload(body: bytes) -> _Payload:
    try:
        return decode_either(_EXACT_PAYLOAD, _PAYLOAD, body)
    except msgspec.ValidationError as error:
        raise MalformedRequestError(f"the body has to be a JSON object with an array named data: {error}") from error


def _fields(raw: msgspec.Raw) -> dict[str, Any] | None:
    try:
        return _FIELDS.decode(raw)
    except (msgspec.ValidationError, RecursionError):
        return None


def _event_of(
    fields: dict[str, Any] | None, raw: msgspec.Raw, key: str | None, request: Request
) -> Event | msgspec.Raw | Failed:
    return raw if fields is None or fields.get("aid") != key else attempt(_event, fields, request)


def _event(fields: Mapping[str, Any], request: Request) -> Event:
    entities, described = _described(fields, "co", "cx"), _described(fields, "ue_pr", "ue_px")
    session = _entity(entities, "client_session")
    kind, name, category, properties = _said(fields, described, entities)
    context = _context(fields, entities, request)
    if described and fields.get("e") != "ue":
        context["self_describing"] = described
    elif isinstance(described, dict) and "schema" in described:
        context["schema"] = described["schema"]
    if page := _named(fields, _PAGE):
        if kind == "page":
            properties = page
        else:
            context["page"] = page
    # A true timestamp is exact, so it is not corrected for clock skew.
    happened, sent = (fields["ttm"], None) if fields.get("ttm") else (fields.get("dtm"), fields.get("stm"))
    user_id, anonymous_id = _ids(fields, session, request)
    return Event(
        event_id=fields.get("eid"),
        type=kind,
        event=name,
        category=category,
        user_id=user_id,
        anonymous_id=anonymous_id,
        session_id=fields.get("sid") or session.get("sessionId"),
        timestamp=rfc3339(happened),
        sent_at=rfc3339(sent),
        properties=properties or None,
        context=context or None,
    )


def _said(fields: Mapping[str, Any], described: Any, entities: Any) -> tuple[str, Any, Any, Any]:
    """Type, name, category and properties of an event."""
    sent = fields.get("e")
    if sent == "se":
        return "track", fields.get("se_ac"), fields.get("se_ca"), _named(fields, _STRUCTURED)
    if sent == "ue":
        return _self_described(described, entities)
    kind, name, names = _EVENTS.get(sent, ("track", sent, {})) if isinstance(sent, str) else ("track", sent, {})
    return kind, name, None, _named(fields, names)


def _self_described(described: Any, entities: Any) -> tuple[str, Any, Any, Any]:
    name, data = _schema_name(described), _data(described)
    if name is None or not isinstance(described.get("data", {}), dict):
        # Without a name, the contract rejects the event, which keeps it for inspection.
        return "track", name, None, {"self_describing": described}
    if name == "screen_view":
        return "screen", None, None, {"title": data["name"], **data} if "name" in data else data
    if name == "snowplow_ecommerce_action":
        # The action is in the data, the payment in an entity.
        return "track", data.get("type"), None, {**_entity(entities, "transaction"), **data}
    return "track", name, None, data


def _ids(fields: Mapping[str, Any], session: Mapping[str, Any], request: Request) -> tuple[Any, Any]:
    """User id and anonymous id; a hashed one if the event has neither, such as a pixel in a page without scripts."""
    user_id = identifier(fields.get("uid"))
    anonymous_id = fields.get("duid") or session.get("userId") or fields.get("nuid") or fields.get("tnuid")
    if not user_id and not anonymous_id:
        key, address, user_agent = (str(fields.get(name) or "") for name in ("aid", "ip", "ua"))
        anonymous_id = request.sender.visitor_id(key, address, user_agent)
    return user_id or None, identifier(anonymous_id)


def _context(fields: Mapping[str, Any], entities: Any, request: Request) -> dict[str, Any]:
    context: dict[str, Any] = _named(fields, _CONTEXT)
    # A server's user agent says nothing about visitors.
    if "userAgent" not in context and fields.get("p", "web") == "web" and "user-agent" in request.headers:
        context["userAgent"] = request.headers["user-agent"][:LOOKED_AT]
    for sent, name in _SIZES.items():
        if fields.get(sent):
            context[name] = size(fields[sent]) or fields[sent]
    if library := _named(fields, _LIBRARY):
        context["library"] = library
    if entities:
        context["entities"] = entities
    return context


def _named(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """These fields by their full names, if present."""
    return {
        name: number(fields[sent]) if sent in _NUMBERS else fields[sent]
        for sent, name in names.items()
        if fields.get(sent)
    }


def _described(fields: Mapping[str, Any], plain: str, packed: str) -> Any:
    """The data of a self-describing field, plain or in base64; the text itself if it can't be decoded."""
    text = fields.get(plain) or fields.get(packed)
    if not isinstance(text, str):
        return text
    try:
        json = text.encode() if fields.get(plain) else base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return _DESCRIBED.decode(as_utf8(json)).data
    except (binascii.Error, ValueError, RecursionError):
        return text


def _entity(entities: Any, name: str) -> dict[str, Any]:
    """The data of the first entity of this name; empty if there is none."""
    found = (entity for entity in entities if _schema_name(entity) == name) if isinstance(entities, list) else ()
    return _data(next(iter(found), None))


def _schema_name(described: Any) -> Any:
    """`link_click` of what has the schema `iglu:com.acme/link_click/jsonschema/1-0-1`."""
    schema = described.get("schema") if isinstance(described, dict) else None
    return schema.split("/")[1] if isinstance(schema, str) and "/" in schema else schema


def _data(described: Any) -> dict[str, Any]:
    data = described.get("data") if isinstance(described, dict) else None
    return data if isinstance(data, dict) else {}
