"""The protocol of Segment, RudderStack and Jitsu: batches of messages, or one message on the route of its type.

An alias says which id is the user's; the other id is `properties.alias_id`, as in every door.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

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
from radar_assets.collector.payloads import (
    Payload,
    check_shared,
    is_object,
    members_of,
    over,
    shared_time,
    with_members,
)
from radar_assets.collector.recognition import Shape, recognized

_KINDS = ("track", "identify", "page", "screen", "group", "alias")
_DEFAULTED = _KINDS[1:]
"""Types whose events have the name of the type. RudderStack's mobile SDKs set `event` to that of the screen, or to the type."""
_SHORT = {kind[0]: kind for kind in _KINDS}
_BATCHES = ("batch", "b")
_SET = (b"true", b"1", b'"true"', b'"1"')
"""Values of a flag that is set."""


class _Message(msgspec.Struct, rename="camel"):
    type: Any = None
    message_id: Any = None
    event: Any = None
    name: Any = None
    category: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    previous_id: Any = None
    group_id: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    properties: Payload = msgspec.UNSET
    traits: Payload = msgspec.UNSET
    context: Payload = msgspec.UNSET
    write_key: Any = None


class _Exact(_Message, forbid_unknown_fields=True):
    """A message without unknown members. The members below describe the SDK and the server rather than the event."""

    channel: Payload = msgspec.UNSET
    integrations: Payload = msgspec.UNSET
    version: Payload = msgspec.UNSET
    metadata: Payload = msgspec.field(default=msgspec.UNSET, name="_metadata")
    received_at: Payload = msgspec.UNSET
    project_id: Payload = msgspec.UNSET
    rudder_id: Payload = msgspec.UNSET


class _Envelope(msgspec.Struct, rename="camel"):
    write_key: Any = None
    sent_at: Any = None
    context: Payload = msgspec.UNSET


class _Batch(_Envelope, kw_only=True, forbid_unknown_fields=True):
    """A batch without unknown members. Those here say nothing of its messages."""

    batch: list[_Exact]
    integrations: Payload = msgspec.UNSET
    message_id: Payload = msgspec.UNSET
    sequence: Payload = msgspec.UNSET


class _LooseBatch(_Envelope, kw_only=True):
    batch: list[msgspec.Raw]


class _Session(msgspec.Struct, rename="camel"):
    session_id: Any = None


class _Shared(NamedTuple):
    """Members that messages get from their batch; `context` is for messages without one."""

    sent_at: Any = None
    context: Payload = msgspec.UNSET
    members: Mapping[str, msgspec.Raw] = {}


_USED_BY = {
    "name": ("page", "screen"),
    "traits": ("identify", "group"),
    "previousId": ("alias",),
    "groupId": ("group",),
}
"""The types of message that use a member; all types use the others."""


def _unused(event: Event, members: Mapping[str, msgspec.Raw]) -> Collection[str]:
    if not is_object(members.get("properties", msgspec.UNSET)):
        return [*_USED_BY, "event"] if event.type in _DEFAULTED else _USED_BY.keys()
    unused = [name for name, types in _USED_BY.items() if event.type not in types]
    name, sent = (msgspec.json.decode(members.get(member, b"null")) for member in ("name", "event"))
    return unused if _uses_event(event.type, name, sent) else [*unused, "event"]


def _uses_event(kind: Any, name: Any, event: Any) -> bool:
    """Whether nothing of a message's `event` is lost: it is the name of the event, of the page or screen, or says nothing new."""
    return not event or kind not in _DEFAULTED or event == kind or (kind in _USED_BY["name"] and name in (None, event))


def _uses_all(message: _Message) -> bool:
    kind = message.type
    return (
        (message.name is None or kind in _USED_BY["name"])
        and (message.traits is msgspec.UNSET or kind in _USED_BY["traits"])
        and (message.previous_id is None or kind in _USED_BY["previousId"])
        and (message.group_id is None or kind in _USED_BY["groupId"])
        and _uses_event(kind, message.name, message.event)
        and is_object(message.properties)
    )


_KEYS = frozenset({"writeKey"})
_SHAPE = Shape(
    required=(frozenset({"userId", "anonymousId"}),),
    known=frozenset(_Exact.__struct_encode_fields__) - _KEYS,
    keys=_KEYS,
    envelope=frozenset(_Batch.__struct_encode_fields__) - _KEYS,
    unused=_unused,
    expected='a message with userId or anonymousId, or {"batch": [...]} of messages that have a type, too',
)
_MESSAGE = msgspec.json.Decoder(_Message)
_BATCH = msgspec.json.Decoder(_Batch)
_LOOSE_BATCH = msgspec.json.Decoder(_LooseBatch)
_SESSION = msgspec.json.Decoder(_Session)


class SegmentDoor:
    """`POST /v1/batch` and `/v1/track` to `/v1/alias`, which analytics.js shortens to their first letter; Jitsu's `/api/s/`."""

    name = "segment"
    routes = (
        *(("POST", f"/v1/{kind}") for kind in (*_BATCHES, *_KINDS, *_SHORT)),
        *(("POST", f"/api/s/{kind}") for kind in ("batch", *_KINDS)),
    )

    def read(self, request: Request) -> Batch:
        """The events of a request."""
        kind = request.path.rpartition("/")[2]
        if kind in _BATCHES:
            return _read_batch(request)
        try:
            message = _MESSAGE.decode(request.body)
        except msgspec.ValidationError as error:
            raise MalformedRequestError(f"the body has to be a JSON object, a message: {error}") from error
        message.type = _SHORT.get(kind, kind)
        raw = msgspec.Raw(request.body)
        events = [attempt(_event, message, _Shared())]
        return Batch(_key(request, message), recognized(events, lambda: [raw], _SHAPE))

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """`success`, or an error with the members that SDKs show."""
        words = {"success": True}
        if outcome is not Outcome.ACCEPTED:
            words = {"success": False, "code": outcome.value, "message": detail}
        return Answer(STATUS[outcome], msgspec.json.encode(words))


def _read_batch(request: Request) -> Batch:
    try:
        batch = _BATCH.decode(request.body)
    except (msgspec.ValidationError, RecursionError):
        batch = _loose_batch(request.body)
    is_exact = isinstance(batch, _Batch) and all(map(_uses_all, batch.batch))
    messages = batch.batch[: MAX_EVENTS + 1]
    unknown = {} if isinstance(batch, _Batch) else _SHAPE.unknown_beside(request.body, len(messages))
    if isinstance(batch.context, msgspec.Raw) and not is_object(batch.context):
        unknown["context"] = batch.context
    shared = _shared(batch, unknown, len(messages))
    events = [
        attempt(_event, message, shared) if isinstance(message, _Message) else _one_of_many(message, shared)
        for message in messages
    ]
    raws = lambda: _loose_batch(request.body).batch[: MAX_EVENTS + 1]  # noqa: E731
    return Batch(_key(request, batch), recognized(events, raws, _SHAPE, is_exact=is_exact, shared=unknown))


def _shared(batch: _Envelope, unknown: Mapping[str, msgspec.Raw], messages: int) -> _Shared:
    """The members that messages share, checked together with the unknown ones."""
    members = members_of(batch.context)
    check_shared({**unknown, **members}, messages)
    context = msgspec.Raw(msgspec.json.encode(members)) if members else msgspec.UNSET
    return _Shared(shared_time(batch.sent_at), context, members)


def _loose_batch(body: bytes) -> _LooseBatch:
    try:
        return _LOOSE_BATCH.decode(body)
    except msgspec.ValidationError as error:
        raise MalformedRequestError(f"the body has to be a JSON object with an array named batch: {error}") from error


def _one_of_many(raw: msgspec.Raw, shared: _Shared) -> Event | msgspec.Raw | Failed:
    """The event of one message; used if the batch can't be decoded as a whole."""
    try:
        message = _MESSAGE.decode(raw)
    except (msgspec.ValidationError, RecursionError):
        return raw
    return attempt(_event, message, shared)


def _key(request: Request, sent: _Envelope | _Message) -> str | None:
    # Jitsu masks the key in the body, and OAuth clients have another token in the header.
    key = request.headers.get("x-write-key") or sent.write_key or request.key
    return key if isinstance(key, str) else None


def _event(message: _Message, shared: _Shared) -> Event:
    return Event(
        event_id=message.message_id,
        type=message.type,
        event=None if message.type in _DEFAULTED else message.event,
        category=message.category,
        user_id=identifier(message.user_id),
        anonymous_id=identifier(message.anonymous_id),
        session_id=_session_id(message.context),
        # RudderStack's `timestamp` is set only if the application gave one.
        timestamp=message.timestamp or message.original_timestamp,
        sent_at=message.sent_at or shared.sent_at,
        properties=_properties(message),
        context=_context(message, shared),
    )


def _properties(message: _Message) -> Any:
    """The properties and members that have no field. Traits stay nested, so that none is taken for a title or revenue."""
    match message.type:
        case "page" | "screen" if (name := _name_of_page(message)) is not None:
            return with_members(message.properties, {"name": name, "title": name})
        case "identify":
            return with_members(message.properties, {"traits": _traits(message)})
        case "group":
            return with_members(
                message.properties, {"group_id": identifier(message.group_id), "traits": message.traits}
            )
        case "alias":
            return with_members(message.properties, {"alias_id": identifier(message.previous_id)})
    return with_members(message.properties, {})


def _name_of_page(message: _Message) -> Any:
    """The name of a page or screen, if it has one. SDKs of RudderStack send it as `event` or among the properties."""
    if message.name is not None or message.event:
        return message.event if message.name is None else message.name
    is_in_properties = message.type == "screen" and _has(message.properties, b'"name"')
    return members_of(message.properties).get("name") if is_in_properties else None


def _traits(message: _Message) -> Any:
    """The traits of an identify call, which RudderStack's Python SDK sends only in the context."""
    return members_of(message.context).get("traits") if message.traits is msgspec.UNSET else message.traits


def _context(message: _Message, shared: _Shared) -> Any:
    """The context of a message, over that of its batch; with `interactive` if the message is marked as passive."""
    flags = _flags(message.properties)
    if message.context is msgspec.UNSET and not flags:
        return None if shared.context is msgspec.UNSET else shared.context
    members = {**shared.members, **flags}
    if message.context is msgspec.UNSET:
        return members
    return over(message.context, members) if members else message.context


def _flags(properties: Payload) -> dict[str, Any]:
    """The flag of a passive event, which SDKs pass on to Google Analytics."""
    if not _has(properties, b'"nonInteraction"'):
        return {}
    return {"interactive": False} if bytes(members_of(properties).get("nonInteraction", b"")) in _SET else {}


def _has(payload: Payload, name: bytes) -> bool:
    return payload is not msgspec.UNSET and name in bytes(payload)


def _session_id(context: Payload) -> Any:
    """RudderStack's session id, which is a number."""
    if context is msgspec.UNSET or b'"sessionId"' not in bytes(context):
        return None
    try:
        return identifier(_SESSION.decode(context).session_id)
    except msgspec.ValidationError:
        return None
