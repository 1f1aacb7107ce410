"""Secrets in the declaration of a channel: literal, or as `env:NAME`, a variable that is read when something is sent.

No secret appears in a repr, an error or a log; only the JSON for the store has them, as they were declared.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, SecretStr, ValidationError
from pydantic_core import core_schema

from radar_assets.environment import variables
from radar_assets.messaging.failures import PermanentError

_REFERENCE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
Spec = TypeVar("Spec", bound=BaseModel)


class Shape:
    """The format of a secret, so that an invalid one is refused where it is declared.

    Args:
        pattern: of the whole secret.
        hint: completes "is not a valid ...".
    """

    def __init__(self, pattern: str, hint: str) -> None:
        self.pattern = re.compile(pattern)
        self.hint = hint

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        as_written = core_schema.plain_serializer_function_ser_schema(
            lambda secret: secret.get_secret_value(), return_schema=core_schema.str_schema(), when_used="json"
        )
        return core_schema.with_info_after_validator_function(self._check, handler(source), serialization=as_written)

    def _check(self, secret: SecretStr, info: core_schema.ValidationInfo) -> SecretStr:
        text = secret.get_secret_value()
        if is_reference(secret, info.context):
            if not _REFERENCE.fullmatch(text):
                raise ValueError("is not a valid reference to an environment variable; write env:NAME")
        elif not self.pattern.fullmatch(text):
            raise ValueError(f"is not a valid {self.hint}")
        return secret


def is_reference(secret: SecretStr, context: dict[str, Any] | None) -> bool:
    """Whether a secret refers to an environment variable that has not been read yet."""
    return secret.get_secret_value().startswith("env:") and not (context or {}).get("resolved")


def resolve(spec: Spec, allowed_hosts: Sequence[str]) -> Spec:
    """The spec with references replaced by the values of their environment variables, validated again.

    Raises:
        PermanentError: a variable is not set, or its value is invalid.
    """
    values = {field: _looked_up(getattr(spec, field)) for field in type(spec).model_fields}
    try:
        return type(spec).model_validate(values, context={"resolved": True, "allowed_hosts": allowed_hosts})
    except ValidationError as error:
        # The error itself is not raised, as it contains the values.
        problem = error.errors(include_input=False, include_context=False)[0]
    field = ".".join(str(step) for step in problem["loc"])
    raise PermanentError(f"{field} {problem['msg'].removeprefix('Value error, ')}")


def hidden(spec: BaseModel) -> Iterator[str]:
    """The secrets of a resolved spec, for removing them from texts of other systems."""
    waiting = [getattr(spec, field) for field in type(spec).model_fields]
    while waiting:
        value = waiting.pop()
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, tuple):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()


def _looked_up(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_looked_up(part) for part in value)
    if isinstance(value, dict):
        return {key: _looked_up(part) for key, part in value.items()}
    if not isinstance(value, SecretStr):
        return value
    reference = _REFERENCE.fullmatch(value.get_secret_value())
    if reference is None:
        return value
    found = variables().get(reference[1])
    if not found:
        raise PermanentError(f"the variable {reference[1]} is not set, in the environment or in .env in the home")
    return found
