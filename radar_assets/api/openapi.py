"""The OpenAPI document of the API, made from its routes and from the types that check its requests."""

import re
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from radar_assets.api.problems import Problem
from radar_assets.api.routing import RadarRoute

_REF = "#/components/schemas/{name}"


def openapi_route(routes: Sequence[RadarRoute]) -> RadarRoute:
    """The public route of the document about some routes."""
    document = describe(routes)

    async def show(_request: Request) -> Response:
        return JSONResponse(document, headers={"Cache-Control": "no-cache"})

    return RadarRoute("GET", "/v1/openapi.json", show, None)


def describe(routes: Sequence[RadarRoute]) -> dict[str, Any]:
    """The document, for OpenAPI 3.1."""
    described = [(route, route.described) for route in routes if route.described]
    types: list[type] = [Problem]
    for _, description in described:
        types += [description.returns[1], *([description.takes] if description.takes else [])]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    for component in components.values():
        component["description"] = component["description"].partition("\n")[0]
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route, _ in described:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Radar",
            "version": metadata.version("radar-assets"),
            "description": "Starts and shows runs. Create a token with radar token create.",
        },
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: RadarRoute, schemas: dict[type, Any]) -> dict[str, Any]:
    description = route.described
    assert description
    status, returned = description.returns
    problems = {401: "The token is missing or invalid.", 403: f"Needs the role {route.role}.", **description.problems}
    responses: dict[str, Any] = {
        str(code): {"description": text, "content": {"application/problem+json": {"schema": schemas[Problem]}}}
        for code, text in sorted(problems.items())
    }
    success = {"description": "Success.", "content": {"application/json": {"schema": schemas[returned]}}}
    responses[str(status)] = success
    if status == 201:
        responses["200"] = {**success, "description": "What an earlier request with the same key started."}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    for place, named in (("header", description.headers), ("query", description.query)):
        parameters += [
            {"name": name, "in": place, "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in named.items()
        ]
    operation = {
        "operationId": description.name,
        "summary": description.summary,
        "x-radar-role": str(route.role),
        "parameters": parameters,
        "responses": dict(sorted(responses.items())),
    }
    if description.takes:
        body = {"application/json": {"schema": schemas[description.takes]}}
        operation["requestBody"] = {"required": False, "content": body}
    return operation
