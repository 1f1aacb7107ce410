"""What the lakehouse asks of an engine: to run SQL models over relations, and to write their rows as Parquet files."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from radar_assets.lakehouse.files import NewFile
from radar_assets.lakehouse.inputs import Inputs
from radar_assets.lakehouse.sql import Model
from radar_assets.lakehouse.table import Table

if TYPE_CHECKING:
    import pyarrow as pa


class Session(Protocol):
    """Several models over the same relations."""

    def keep(self, model: Model, parameters: Mapping[str, Any] | None = None) -> None:
        """Keep the rows of a model as a relation of its name, until the session ends."""
        ...

    def query(self, model: Model, parameters: Mapping[str, Any] | None = None) -> "pa.Table":
        """Run a model and return its rows."""
        ...


class Engine(Protocol):
    """Runs models, which are written in the DuckDB dialect.

    Attributes:
        partitions_a_write: how many partitions a statement had better write at a time, where the caller can choose.
    """

    partitions_a_write: int

    def write(
        self,
        model: Model,
        inputs: Inputs,
        parameters: Mapping[str, Any],
        table: Table,
        folder: Path,
        built_from: int = 0,
        limit_s: float | None = None,
    ) -> list[NewFile]:
        """Run a model and write its rows below a folder, one file a partition.

        Args:
            parameters: values of the model's named parameters.
            table: the declaration of the rows; the model gives its columns in any order.
            built_from: sequence number of the input, kept in the names of the files.
            limit_s: seconds that the model may take.

        Raises:
            Exception: the statement fails; no files are left behind.
            StatementTimeoutError: it takes longer than `limit_s`; no files are left behind.
        """
        ...

    def query(
        self,
        model: Model,
        inputs: Inputs,
        parameters: Mapping[str, Any] | None = None,
        limit_s: float | None = None,
    ) -> "pa.Table":
        """Run a model and return its rows.

        Raises:
            StatementTimeoutError: it takes longer than `limit_s` seconds.
        """
        ...

    def staged(
        self, model: Model, inputs: Inputs, parameters: Mapping[str, Any], limit_s: float | None = None
    ) -> AbstractContextManager[Path]:
        """The rows of a model in a Parquet file that lasts as long as the block: an intermediate result that several models read."""
        ...

    def session(self, inputs: Inputs) -> AbstractContextManager[Session]:
        """A session over relations, until the block ends."""
        ...
