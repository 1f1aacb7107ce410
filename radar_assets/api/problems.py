"""Errors of the API: problem details as of RFC 9457, which name the field that is wrong."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response


class Problem(msgspec.Struct, omit_defaults=True):
    """An error.

    Attributes:
        field: the field, parameter or header that is wrong.
    """

    title: str
    status: int
    detail: str
    field: str = ""
    type: str = "about:blank"


class ProblemError(Exception):
    """The request can't be fulfilled; becomes the response."""

    def __init__(self, status: int, detail: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field, self.headers = status, detail, field, dict(headers or {})

    def response(self) -> Response:
        """The response."""
        return problem(self.status, self.detail, field=self.field, headers=self.headers)


def problem(status: int, detail: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The response for an error."""
    body = msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail, field))
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, "application/problem+json")
