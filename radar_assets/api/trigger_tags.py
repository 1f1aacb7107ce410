"""Tags that say who started a run, and how they get into runs that the Dagster UI launches.

The mutations that launch runs take tags as part of an argument. Tags of `radar/` that a request names itself are dropped, so that it
can't name someone else.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    parse_type,
    value_from_ast_untyped,
    visit,
)
from graphql.language import NameNode

from radar_assets.access.roles import Principal
from radar_assets.orchestration.run_tags import TRIGGERED_BY

TRIGGERED_FROM = "radar/triggered_from"
"""Tag of runs: ui, jobs page or api."""
_OURS = "radar/triggered_"
_LAUNCHES = {
    "launchRun",
    "launchPipelineExecution",
    "launchMultipleRuns",
    "launchRunReexecution",
    "launchPipelineReexecution",
    "launchPartitionBackfill",
    "reexecutePartitionBackfill",
}
_TAGS_OF = {
    "executionParams": ("ExecutionParams!", ("executionMetadata", "tags")),
    "executionParamsList": ("[ExecutionParams!]!", ("executionMetadata", "tags")),
    "reexecutionParams": ("ReexecutionParams!", ("extraTags",)),
    "backfillParams": ("LaunchBackfillParams!", ("tags",)),
}
"""The arguments that take tags: their types, and where the tags are in them."""


def trigger_tags(principal: Principal, origin: str) -> dict[str, str]:
    """The tags of a run that a person or program starts.

    Args:
        origin: ui, jobs page or api.
    """
    return {TRIGGERED_BY: principal.name, TRIGGERED_FROM: origin}


def tagged(
    document: DocumentNode, variables: Mapping[str, Any], principal: Principal
) -> tuple[DocumentNode, dict[str, Any]]:
    """A document whose launches have the tags of who triggered them, and its variables."""
    visitor = _Tagger(document, dict(variables), trigger_tags(principal, "ui"))
    return _with_definitions(visit(document, visitor), visitor.added), visitor.variables


def plain_value(node: ValueNode, variables: Mapping[str, Any]) -> Any:
    """The value of an argument as JSON, with variables inserted."""
    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    return _defined(value_from_ast_untyped(node, dict(variables)))


def defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    """The default values of an operation's variables."""
    defined = (node for node in operation.variable_definitions if node.default_value)
    return {node.variable.name.value: plain_value(cast(ValueNode, node.default_value), {}) for node in defined}


class _Tagger(Visitor):
    """Replaces the arguments of launches by variables, whose values have the tags."""

    def __init__(self, document: DocumentNode, variables: dict[str, Any], tags: Mapping[str, str]) -> None:
        super().__init__()
        operations = (node for node in document.definitions if isinstance(node, OperationDefinitionNode))
        known = {name: value for operation in operations for name, value in defaults(operation).items()}
        self.variables = variables
        self.added: dict[str, VariableDefinitionNode] = {}
        self._known, self._tags = {**known, **variables}, tags

    def leave_field(self, node: FieldNode, *_: object) -> FieldNode | None:
        """Tag a launch. No other field of the schema has the name of one."""
        if node.name.value not in _LAUNCHES:
            return None
        node = FieldNode(**{name: getattr(node, name, None) for name in node.keys})
        node.arguments = tuple(self._tagged(each) for each in node.arguments)
        return node

    def _tagged(self, argument: ArgumentNode) -> ArgumentNode:
        if argument.name.value not in _TAGS_OF:
            return argument
        type, path = _TAGS_OF[argument.name.value]
        value = plain_value(argument.value, self._known)
        if value is None:
            return argument
        is_list = type.startswith("[")
        values = [_add(each, path, self._tags) for each in (_listed(value) if is_list else [value])]
        # Always a variable of its own: that of the request may be used elsewhere, or have another default in another operation.
        name = f"radar_{len(self.added)}"
        while name in self._known:
            name += "_"
        variable = VariableNode(name=NameNode(value=name))
        self.added[name] = VariableDefinitionNode(variable=variable, type=parse_type(type), directives=())
        self.variables[name] = values if is_list else values[0]
        return ArgumentNode(name=argument.name, value=variable)


def _add(value: Any, path: tuple[str, ...], tags: Mapping[str, str]) -> Any:
    """A copy of a value with tags at a path."""
    if path:
        if not isinstance(value, dict | None):
            return value  # invalid, as Dagster will say
        return {**(value or {}), path[0]: _add((value or {}).get(path[0]), path[1:], tags)}
    kept = [tag for tag in _listed(value) if not (isinstance(tag, dict) and _is_ours(tag.get("key")))]
    return [*kept, *({"key": key, "value": text} for key, text in tags.items())]


def _is_ours(key: object) -> bool:
    return isinstance(key, str) and key.startswith(_OURS)


def _listed(value: Any) -> list[Any]:
    """A value as a list: GraphQL accepts a single one in place of a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _defined(value: Any) -> Any:
    """A value without the parts that come from variables without a value."""
    from graphql import Undefined

    if isinstance(value, dict):
        return {name: _defined(each) for name, each in value.items() if each is not Undefined}
    if isinstance(value, list):
        return [None if each is Undefined else _defined(each) for each in value]
    return None if value is Undefined else value


class _Uses(Visitor):
    """The variables and fragments that a definition uses."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: set[str] = set()
        self.fragments: set[str] = set()

    def enter_variable_definition(self, *_: object) -> Any:
        """Skip it: to define a variable is not to use it."""
        return self.SKIP

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        """Note a variable."""
        self.variables.add(node.name.value)

    def enter_fragment_spread(self, node: Any, *_: object) -> None:
        """Note a fragment."""
        self.fragments.add(node.name.value)


def _with_definitions(document: DocumentNode, added: Mapping[str, VariableDefinitionNode]) -> DocumentNode:
    """A document whose operations define exactly the variables that they use."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}

    def used(node: Node, seen: frozenset[str] = frozenset()) -> Iterator[str]:
        uses = _Uses()
        visit(node, uses)
        yield from uses.variables
        for name in uses.fragments - seen:
            if name in fragments:
                yield from used(fragments[name], seen | uses.fragments)

    definitions = []
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode) and node.operation == OperationType.MUTATION:
            names = set(used(node))
            own = [each for each in node.variable_definitions if each.variable.name.value in names]
            ours = [definition for name, definition in added.items() if name in names]
            node = OperationDefinitionNode(**{name: getattr(node, name, None) for name in node.keys})  # noqa: PLW2901
            node.variable_definitions = (*own, *ours)
        definitions.append(node)
    return DocumentNode(definitions=tuple(definitions))
