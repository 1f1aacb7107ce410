"""The configuration file `radar.yaml`, in which teams declare what their data means. It is validated when it is read.

Each section is declared in `config.py` of its layer; to add one, add it to the bases of `Config`. What operators change between
deployments belongs in the settings. Metrics are read whenever definitions load, rules and channels only by `radar apply`.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo

from radar_assets.alerts.config import RulesSection
from radar_assets.errors import UsageError
from radar_assets.events.config import EventsSection
from radar_assets.events.declarations import NOTHING_DECLARED, Declarations
from radar_assets.messaging.config import ChannelsSection
from radar_assets.metrics.config import MetricsSection
from radar_assets.metrics.registry import CustomMetric
from radar_assets.operations.config import HealthSection
from radar_assets.operations.health.urls import WatchedUrl
from radar_assets.sections import Section
from radar_assets.store import declared
from radar_assets.store.declared import Change, StoredAs

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from radar_assets.store.database import Store

_LOG = logging.getLogger(__name__)

_MESSAGES = {
    "model_type": "must be a mapping of fields to values",
    "tuple_type": "must be a list",
    "string_type": "must be text; put the value in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "union_tag_not_found": 'required field "type" is missing',
}
"""Messages by pydantic's error type, where its own is unclear to people who write YAML."""

_NOUNS = ("kind", "operator", "severity", "source", "window")
"""Fields whose name says what their value is."""
_SYMBOLS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "=": "eq", "==": "eq"}
"""Operators of rules, by the symbols that people may write instead."""

_Section = TypeVar("_Section", bound=Section)


class ConfigError(UsageError):
    """The configuration file is invalid. The message has one line per mistake, with file, line and field."""


class Config(
    # Fields are validated in the reverse order: rules refer to metrics and channels.
    HealthSection,
    RulesSection,
    ChannelsSection,
    MetricsSection,
    EventsSection,
):
    """The content of `radar.yaml`. All sections are optional."""


def load_config(path: Path, *, required: bool = False, allowed_hosts: Sequence[str] = ()) -> Config:
    """Read the configuration file. A missing file is an empty configuration.

    Args:
        required: whether a missing file is an error, because the user named it.
        allowed_hosts: hosts and networks that channels may send to although they are not public.

    Raises:
        ConfigError: the file can't be read, or is invalid.
    """
    return _load(path, Config, {"allowed_hosts": allowed_hosts}, required=required)


def load_metrics(path: Path, *, required: bool = False) -> tuple[CustomMetric, ...]:
    """Like `load_config`, but read only the metrics; the other sections are not validated."""
    return _load_only(MetricsSection, path, required=required).metrics


def load_declarations(path: Path, *, required: bool = False) -> Declarations:
    """Like `load_config`, but read only what events are built by; the other sections are not validated."""
    return _load_only(EventsSection, path, required=required).declarations


def load_watched_urls(path: Path, *, required: bool = False) -> tuple[WatchedUrl, ...]:
    """Like `load_config`, but read only which URLs the health checks request; the other sections are not validated."""
    return _load_only(HealthSection, path, required=required).health.urls


class WatchedDeclarations:
    """The declarations of the configuration file, which is read again when it has changed. One that can't be read changes nothing.

    Args:
        required: as for `load_config`.
    """

    def __init__(self, path: Path, *, required: bool = False) -> None:
        self._path, self._required = path, required
        self._read: tuple[int, ...] | None = ()
        self._declared = NOTHING_DECLARED

    def __call__(self) -> Declarations:
        """The declarations at present."""
        try:
            status = self._path.stat()
            found = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        except OSError:
            found = None
        if found != self._read:
            self._read = found
            try:
                self._declared = load_declarations(self._path, required=self._required)
            except ConfigError as error:
                _LOG.warning("%s", error)
        return self._declared


def _load_only(section: type[_Section], path: Path, *, required: bool) -> _Section:
    others: Any = {name: (Any, None) for name in Config.model_fields if name not in section.model_fields}
    only = create_model(f"Only{section.__name__}", __base__=section, **others)
    return _load(path, only, {}, required=required)


def changes(session: "Session", config: Config) -> list[Change]:
    """What applying a configuration changes in the store, removals last. Nothing is written."""
    differences = [
        change for stored_as, items in _stored(config) for change in declared.changes(session, stored_as, items)
    ]
    return sorted(differences, key=lambda change: change.how == "removed")


def apply_config(store: "Store", config: Config) -> list[Change]:
    """Replace what is stored of the sections by a configuration, in one transaction.

    Returns:
        What that changed, removals last.
    """
    with store.session() as session:
        changed = changes(session, config)
        for stored_as, items in _stored(config):
            declared.replace(session, stored_as, items)
    return changed


def _stored(config: Config) -> Iterator[tuple[StoredAs, Sequence[Any]]]:
    """The sections whose items are stored."""
    for name, field in Config.model_fields.items():
        for stored_as in field.metadata:
            if isinstance(stored_as, StoredAs):
                yield stored_as, getattr(config, name)


def _load(path: Path, model: type[_Section], context: dict[str, Any], *, required: bool) -> _Section:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"{path}: file not found; radar init writes one to start from") from error
        return model()
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path}: can't read the file: {error}") from error
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        duplicates = [f'{path}:{_line(key)}: duplicate key "{key.value}"' for key in _duplicate_keys(root)]
        if duplicates:
            raise ConfigError("\n".join(duplicates))
        content = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: invalid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: invalid YAML: {' '.join(str(error).split())}") from None
    try:
        return model.model_validate({} if content is None else content, context=context)
    except ValidationError as error:
        problems = [_problem(path, root, model, problem) for problem in error.errors()]
        raise ConfigError("\n".join(problems)) from None


def _problem(path: Path, root: yaml.Node | None, model: type[BaseModel], problem: Any) -> str:
    """The message for one mistake: file, line, item, field, what is wrong."""
    node, item = root, ""
    place: list[str | int] = []
    for step in problem["loc"]:
        if isinstance(node, yaml.MappingNode) and _child(node, step) is None and step in _tags(node):
            continue  # pydantic adds which member of a union it validated
        place.append(step)
        node = _child(node, step) or node
        if not item and len(place) == 2 and isinstance(step, int):
            name = _name_of(node)
            item = f"{str(place[0]).removesuffix('s')} {name}" if name else f"{place[0]}[{step}]"
            place.clear()
    field = str(place[-1]) if place else ""
    if problem["type"] == "extra_forbidden":
        message = _unknown_field(str(place.pop()), _known_fields(model, problem["loc"][:-1]))
    elif problem["type"] == "missing":
        place.pop()
        message = f'required field "{field}" is missing'
    elif problem["type"] == "literal_error" and isinstance(problem["input"], str):
        place = place[: -1 if field in _NOUNS else None]
        message = _unknown_value(field, problem["input"], re.findall(r"'([^']+)'", problem["ctx"]["expected"]))
    elif problem["type"] == "union_tag_invalid":
        message = f'unknown type "{problem["ctx"]["tag"]:.80}"; use one of {problem["ctx"]["expected_tags"]}'
    else:
        message = _MESSAGES.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
        message = re.sub("^Input should be", "must be", message)
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")
    return ": ".join(filter(None, (f"{path}:{_line(node)}", item, where, message)))


def _unknown_value(field: str, value: str, known: Sequence[str]) -> str:
    """The message for a value that is not one of those that a field may have."""
    near = _SYMBOLS.get(value) or next(iter(get_close_matches(value, known, 1)), None)
    others = [each for each in known if each != near]
    use = f"{near} (or {', '.join(others)})" if near in known else f"one of {', '.join(known)}"
    kind = f"a{'n' if field[0] in 'aeiou' else ''} {field}" if field in _NOUNS else "valid"
    return f'"{value:.80}" is not {kind}; use {use}'


def _unknown_field(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"known fields: {', '.join(known)}"
    return f'unknown field "{name:.80}"; {hint}'


def _known_fields(model: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """The fields of the model that validates a location in the file, by the names that they have there."""
    models = [model]
    for step in location:
        inner = [one for each in models if (field := _fields(each).get(step)) for one in _models_in(field.annotation)]
        # Any other step is an index, a key of the user's, or the tag of a union's member.
        models = inner or [each for each in models if step in _tags_of(each)] or models
    return list(dict.fromkeys(str(name) for each in models for name in _fields(each)))


def _fields(model: type[BaseModel]) -> dict[str | int, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if parts := get_args(annotation):
        return [model for part in parts for model in _models_in(part)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _tags_of(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("type")
    return get_args(kind.annotation) if kind else ()


def _name_of(node: yaml.Node | None) -> str:
    name = _child(node, "name")
    return name.value if isinstance(name, yaml.ScalarNode) else ""


def _tags(node: yaml.Node) -> list[str]:
    kind = _child(node, "type")
    return [kind.value] if isinstance(kind, yaml.ScalarNode) else []


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None


def _duplicate_keys(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Keys that their mapping already has. YAML would silently use the last one."""
    waiting, visited = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in visited:  # an alias, which may refer to a node that contains it
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            first = {key.value: key for key in reversed(keys)}
            yield from (key for key in keys if key is not first[key.value])


def _line(node: yaml.Node | None) -> int:
    return node.start_mark.line + 1 if node else 1
