"""The OpenAPI document of the collector: every route of every door, and Radar's own in full."""

import re
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import msgspec

from radar_assets.collector.bodies import MAX_BODY_BYTES, MAX_INFLATED_BYTES
from radar_assets.collector.door import MAX_EVENTS, STATUS, Door, Outcome
from radar_assets.collector.report import Report

_WORDS = {
    Outcome.ACCEPTED: "All events are on disk. Those that break the contract become rejected events downstream, with the reason.",
    Outcome.MALFORMED: "The body can't be read, or no event in it is of this protocol. The detail says what is expected.",
    Outcome.UNAUTHORIZED: "The key is missing, unknown, revoked or not for this origin.",
    Outcome.TOO_LARGE: f"More than {MAX_BODY_BYTES} bytes, {MAX_INFLATED_BYTES} bytes inflated or {MAX_EVENTS} events.",
    Outcome.LIMITED: "Over the project's rate limit or quota. Retry after the seconds in Retry-After.",
    Outcome.UNAVAILABLE: "Nothing was stored. Retry after the seconds in Retry-After.",
}
_ADDED = ("project_id", "received_at", "protocol")
"""Fields of an event that the collector sets, whatever is sent."""
_EXAMPLE = {"event": "signup", "anonymous_id": "visitor-1", "properties": {"plan": "free"}}
_SCHEMAS = "#/components/schemas"
_SECURITY = [{"bearer": []}, {"basic": []}, {"query": []}]


def describe(doors: Sequence[Door]) -> dict[str, Any]:
    """The document, for OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for door in doors:
        for method, path in door.routes:
            operation = _own_events() if door.name == "radar" else _foreign(door, method, path)
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Radar collector",
            "version": metadata.version("radar-assets"),
            "description": "Receives events from the SDKs of several protocols. A 2xx response means that the events are on disk.",
        },
        "paths": {**paths, **_operator_routes()},
        "components": {
            "schemas": {"Event": _event_schema(), **_report_schemas()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The write key."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The write key as user name, without a password.",
                },
                "query": {"type": "apiKey", "in": "query", "name": "key"},
            },
        },
    }


def _own_events() -> dict[str, Any]:
    one = {"type": "object", "allOf": [_any_of("event", "type"), _any_of("user_id", "anonymous_id")]}
    one_or_many = {
        "anyOf": [one, {"type": "array", "items": one, "maxItems": MAX_EVENTS}],
        "description": (
            "One event (see the schema Event) or an array of events. One event with these fields is enough for a 200 response; "
            "other elements of the array become rejected events."
        ),
        "examples": [_EXAMPLE, [_EXAMPLE]],
    }
    responses = _responses()
    responses["200"]["description"] += " The report counts accepted and rejected events."
    responses["200"]["content"] = {"application/json": {"schema": {"$ref": f"{_SCHEMAS}/Report"}}}
    return {
        "summary": "Send events",
        "description": (
            "Events in Radar's own format: one object, an array, or one object per line. The body may be compressed with gzip; its "
            "content type is ignored. Web pages may send {key, sent_at, events} instead, which keeps the key out of URLs."
        ),
        "operationId": "take_events",
        "security": _SECURITY,
        "requestBody": {"required": True, "content": {"application/json": {"schema": one_or_many}}},
        "responses": responses,
    }


def _any_of(*names: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [name]} for name in names]}


def _foreign(door: Door, method: str, path: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": f"Requests of SDKs for {door.name}",
        "operationId": "_".join([door.name, method.lower(), *re.findall(r"\w+", path)]),
        "responses": _responses(),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in re.findall(r"{(\w+)}", path)
        ],
    }
    if method != "GET":
        operation["requestBody"] = {"content": {"application/json": {"schema": {}}}}
    return operation


def _responses() -> dict[str, Any]:
    answers: dict[str, dict[str, Any]] = {
        str(int(STATUS[outcome])): {"description": words} for outcome, words in _WORDS.items()
    }
    for outcome in (Outcome.LIMITED, Outcome.UNAVAILABLE):
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        answers[str(int(STATUS[outcome]))]["headers"] = {"Retry-After": seconds}
    return answers


def _operator_routes() -> dict[str, Any]:
    def get(name: str, summary: str, **statuses: str) -> dict[str, Any]:
        responses = {status.removeprefix("s"): {"description": words} for status, words in statuses.items()}
        return {"get": {"operationId": name, "summary": summary, "responses": responses}}

    live = get(
        "live",
        "Live numbers of a project",
        s200="Events, page views and visitors of the last five minutes and of each of the last thirty.",
        s400="A parameter is invalid.",
        s401="The read key is missing, invalid or not for this origin.",
        s403="The key is for another project.",
        s503="The numbers can't be read at the moment.",
    )
    live["get"]["security"] = [{"bearer": []}, {"query": []}]
    live["get"]["parameters"] = [
        {"name": "project", "in": "query", "schema": {"type": "string"}},
        {"name": "top", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}},
    ]
    return {
        "/v1/live": live,
        "/radar.js": get("script", "The script for web pages", s200="The script.", s304="It has not changed."),
        "/healthz": get("health", "Liveness: the process responds", s200="It does."),
        "/readyz": get("readiness", "Readiness: requests are accepted", s200="They can.", s503="They can't."),
        "/metrics": get("metrics", "Metrics for Prometheus", s200="The figures."),
    }


def _report_schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components([Report], ref_template=f"{_SCHEMAS}/{{name}}")
    return schemas


def _event_schema() -> dict[str, Any]:
    from radar_assets.events.contract import CanonicalEvent

    schema = CanonicalEvent.model_json_schema(ref_template=f"{_SCHEMAS}/{{model}}")
    for field in _ADDED:
        del schema["properties"][field]
    # Missing ids and times are generated. Other fields that are not optional have the defaults of their type.
    del schema["required"]
    return schema
