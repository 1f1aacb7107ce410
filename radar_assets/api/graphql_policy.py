"""What a GraphQL request to the Dagster UI may do, by role: anyone with a role reads, and mutations are allowed by name.

A request is judged as a whole, before Dagster sees it: by all operations of its document, whichever of them would run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
    print_ast,
)

from radar_assets.access.roles import Principal, Role
from radar_assets.api.trigger_tags import defaults, plain_value, tagged

MUTATIONS: Mapping[str, Role] = {
    # Runs and backfills.
    "launchRun": Role.OPERATOR,
    "launchPipelineExecution": Role.OPERATOR,
    "launchMultipleRuns": Role.OPERATOR,
    "launchRunReexecution": Role.OPERATOR,
    "launchPipelineReexecution": Role.OPERATOR,
    "terminateRun": Role.OPERATOR,
    "terminateRuns": Role.OPERATOR,
    "terminatePipelineExecution": Role.OPERATOR,
    "launchPartitionBackfill": Role.OPERATOR,
    "resumePartitionBackfill": Role.OPERATOR,
    "reexecutePartitionBackfill": Role.OPERATOR,
    "cancelPartitionBackfill": Role.OPERATOR,
    # Schedules and sensors. A dry run executes their code.
    "startSchedule": Role.OPERATOR,
    "stopRunningSchedule": Role.OPERATOR,
    "resetSchedule": Role.OPERATOR,
    "startSensor": Role.OPERATOR,
    "stopSensor": Role.OPERATOR,
    "resetSensor": Role.OPERATOR,
    "sensorDryRun": Role.OPERATOR,
    "scheduleDryRun": Role.OPERATOR,
    "setAutoMaterializePaused": Role.OPERATOR,
    # Definitions, slots of pools, and the UI's own bookkeeping.
    "reloadRepositoryLocation": Role.OPERATOR,
    "reloadWorkspace": Role.OPERATOR,
    "freeConcurrencySlots": Role.OPERATOR,
    "freeConcurrencySlotsForRun": Role.OPERATOR,
    "logTelemetry": Role.OPERATOR,
    "setNuxSeen": Role.OPERATOR,
    # Reported events are as good as a run's.
    "reportRunlessAssetEvents": Role.OPERATOR,
    "reportAssetCheckEvaluations": Role.OPERATOR,
    # What deletes history, or changes what the platform may do.
    "deleteRun": Role.ADMIN,
    "deletePipelineRun": Role.ADMIN,
    "wipeAssets": Role.ADMIN,
    "addDynamicPartition": Role.ADMIN,
    "deleteDynamicPartitions": Role.ADMIN,
    "setSensorCursor": Role.ADMIN,
    "setConcurrencyLimit": Role.ADMIN,
    "deleteConcurrencyLimit": Role.ADMIN,
    "shutdownRepositoryLocation": Role.ADMIN,
}
"""The mutations that a role may use; all others are refused."""
NEVER = frozenset({"setAppManagedComponent", "deleteAppManagedComponent", "refreshComponentState"})
"""Mutations that no role may use: they change code. Listed so that a test finds the mutations of a newer Dagster."""
MAX_TOKENS = 20_000
"""Maximum size of a document; the UI's own largest query has about 2,000 tokens."""

Transport = Literal["post", "websocket"]


class PolicyError(Exception):
    """The request is refused.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Mutation:
    """A mutation of a request, and its arguments with the variables inserted."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Allowed:
    """A request that may run.

    Attributes:
        payload: what Dagster should receive. It has nothing that was not judged, and launches have tags of the principal.
        mutations: those of all operations of the document.
    """

    payload: dict[str, Any]
    mutations: tuple[Mutation, ...]


def judge(payload: object, principal: Principal, transport: Transport = "post") -> Allowed:
    """Judge a GraphQL request.

    Args:
        payload: the parsed JSON.
        transport: queries and mutations come by POST, subscriptions by websocket.

    Raises:
        PolicyError: it is refused.
    """
    query, variables, operation_name = _parts(payload)
    try:
        document = parse(query, no_location=True, max_tokens=MAX_TOKENS)
    except (GraphQLError, RecursionError) as error:
        reason = error.message if isinstance(error, GraphQLError) else "the document is nested too deeply"
        raise PolicyError(400, f"Invalid GraphQL: {reason}") from error
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if not principal.may(Role.VIEWER):
        raise PolicyError(403, "The Dagster UI shows all projects; your role is for some of them.")
    if not operations:
        raise PolicyError(400, "The document has no operation.")
    expected = (
        {OperationType.SUBSCRIPTION} if transport == "websocket" else {OperationType.QUERY, OperationType.MUTATION}
    )
    if any(operation.operation not in expected for operation in operations):
        kinds = "subscriptions" if transport == "websocket" else "queries and mutations"
        raise PolicyError(403, f"Only {kinds} are allowed here.")
    mutations = tuple(_mutations(document, operations, variables))
    for mutation in mutations:
        _check(mutation.name, principal)
    if mutations:
        document, variables = tagged(document, variables, principal)
        query = print_ast(document)
    return Allowed({"query": query, "variables": variables, "operationName": operation_name}, mutations)


def _parts(payload: object) -> tuple[str, dict[str, Any], str | None]:
    """Document, variables and name of the operation.

    Raises:
        PolicyError: the payload is not a single request.
    """
    if isinstance(payload, list):
        raise PolicyError(400, "Batches are not supported; send one request at a time.")
    if not isinstance(payload, dict):
        raise PolicyError(400, "The request must be a JSON object with a query.")
    query, variables = payload.get("query"), payload.get("variables")
    # Dagster reads the second name from websockets.
    name = payload.get("operationName") or payload.get("operation_name")
    if not isinstance(query, str):
        raise PolicyError(400, "query must be a string.")
    if not isinstance(variables, dict | None):
        raise PolicyError(400, "variables must be an object.")
    if not isinstance(name, str | None):
        raise PolicyError(400, "operationName must be a string.")
    return query, variables or {}, name


def _check(name: str, principal: Principal) -> None:
    role = MUTATIONS.get(name)
    if role is None:
        raise PolicyError(403, f"{name} is not allowed through Radar.")
    if not principal.may(role):
        raise PolicyError(403, f"{name} needs the role {role}; you are {principal.role}.")


def _mutations(
    document: DocumentNode, operations: list[OperationDefinitionNode], variables: Mapping[str, Any]
) -> Iterator[Mutation]:
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    for operation in operations:
        if operation.operation != OperationType.MUTATION:
            continue
        # Fields that a directive would skip count too.
        for field in _root_fields(operation.selection_set, fragments, set()):
            if field.name.value != "__typename":
                known = {**defaults(operation), **variables}
                arguments = {each.name.value: plain_value(each.value, known) for each in field.arguments}
                yield Mutation(field.name.value, arguments)


def _root_fields(
    selection: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], seen: set[str]
) -> Iterator[FieldNode]:
    for node in selection.selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name in fragments and name not in seen:
                yield from _root_fields(fragments[name].selection_set, fragments, seen | {name})
        else:
            yield from _root_fields(cast(Any, node).selection_set, fragments, seen)
