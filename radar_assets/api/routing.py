"""Radar's routes, each with the role that it needs.

A route without a role is public. The role is checked before the route's function runs; forms must also have the `form_token` of the
person's session. Tests read the roles from the routes.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from radar_assets.access.roles import Role
from radar_assets.api.actions import note
from radar_assets.api.identity import Identity, identity_of
from radar_assets.api.problems import ProblemError
from radar_assets.api.ui_gate import SOME_PROJECTS, forbidden, login_needed

FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES, MAX_FIELDS = 64_000, 50
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Description:
    """What the OpenAPI document says of a route besides its path and role.

    Attributes:
        name: its operation id.
        returns: status and type of the response.
        takes: type of the JSON body.
        headers, query: names of optional parameters, and what they mean.
        problems: statuses of errors besides 401, 403 and 500, and what they mean.
    """

    name: str
    summary: str
    returns: tuple[int, type]
    takes: type | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[int, str] = field(default_factory=dict)


class RadarRoute(Route):
    """A route of Radar itself.

    Attributes:
        role: the role that it needs, for all projects. None: it is public.
        described: of a route of the API.
        of_projects: whether it is enough to have the role for some projects. The route's function then shows and changes only what is
            of those.
    """

    def __init__(
        self,
        method: Literal["GET", "POST"],
        path: str,
        endpoint: Endpoint,
        role: Role | None,
        described: Description | None = None,
        *,
        of_projects: bool = False,
    ) -> None:
        self.method, self.role, self.described = method, role, described
        self.of_projects, self.is_api = of_projects, path.startswith("/v1/")
        self._run = endpoint
        super().__init__(path, self._checked, methods=[method], name=f"{method} {path}")

    async def _checked(self, request: Request) -> Response:
        try:
            return await self._refusal(request) or await self._run(request)
        except ProblemError as error:
            return error.response()

    async def _refusal(self, request: Request) -> Response | None:
        if self.role is None:
            return None
        identity = identity_of(request.scope)
        if identity is None:
            if self.is_api:
                raise ProblemError(
                    401,
                    "Send Authorization: Bearer <token>; create a token with radar token create.",
                    headers={"WWW-Authenticate": 'Bearer realm="radar"'},
                )
            return login_needed(request)
        principal = identity.principal
        if not (principal.role.includes(self.role) if self.of_projects else principal.may(self.role)):
            reason = (
                SOME_PROJECTS
                if principal.role.includes(self.role)
                else f"This needs the role {self.role}; you are {principal.role}."
            )
            if request.method == "POST":
                await note(request.app.state.record, request, principal, f"POST {request.url.path}", result="refused")
            if self.is_api:
                raise ProblemError(403, reason)
            return forbidden(request, reason, identity)
        if request.method == "POST" and not self.is_api and not await has_form_token(request, identity):
            return forbidden(request, "The form is not of this session. Load the page again.", identity)
        return None


async def has_form_token(request: Request, identity: Identity) -> bool:
    """Whether a form is that of a page of the same session."""
    return is_same(await form_field(request, "form_token"), identity.form_token)


async def form_field(request: Request, name: str) -> str:
    """A field of a form; empty if it is missing or given twice."""
    values = [value for key, value in await form_fields(request) if key == name]
    return values[0] if len(values) == 1 else ""


async def form_fields(request: Request) -> list[tuple[str, str]]:
    """The fields of a form.

    Raises:
        ProblemError: the request has another content type or too many fields.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise ProblemError(415, f"Send the form as {FORM}.", field="Content-Type")
    if int(request.headers.get("content-length", MAX_FORM_BYTES + 1)) > MAX_FORM_BYTES:
        raise ProblemError(413, f"A form has at most {MAX_FORM_BYTES:,} bytes.")
    try:
        return parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise ProblemError(400, "The form can't be read.") from error


def is_same(given: str, expected: str) -> bool:
    """Whether two secrets are the same and not empty, in constant time."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def signed_in(request: Request) -> Identity:
    """The identity of a request to a route that needs a role."""
    identity = identity_of(request.scope)
    assert identity
    return identity
