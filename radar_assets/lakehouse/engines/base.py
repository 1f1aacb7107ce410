"""The engine protocol: run SQL models over relations, and write their rows as Parquet files."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from radar_assets.lakehouse.files import UNRECORDED, NewFile, Origin
from radar_assets.lakehouse.inputs import Inputs
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.table import Table

if TYPE_CHECKING:
    import pyarrow as pa


class Session(Protocol):
    """Runs several models over the same relations."""

    def keep(self, model: SqlModel, parameters: Mapping[str, Any] | None = None) -> None:
        """Keep the rows of a model as a relation of its name, until the session ends."""
        ...

    def query(self, model: SqlModel, parameters: Mapping[str, Any] | None = None) -> "pa.Table":
        """Run a model and return its rows."""
        ...


class Engine(Protocol):
    """Runs models, which are written in the DuckDB dialect.

    Attributes:
        partitions_a_write: recommended number of partitions per `write`.
        version: identifies the engine. Hashes of another version may differ.
    """

    partitions_a_write: int
    version: str

    def write(
        self,
        model: SqlModel,
        inputs: Inputs,
        parameters: Mapping[str, Any],
        table: Table,
        folder: Path,
        origin: Origin = UNRECORDED,
        limit_s: float | None = None,
    ) -> list[NewFile]:
        """Run a model and write its rows below a folder, one file per partition.

        Args:
            parameters: values of the model's named parameters.
            table: the declaration of the rows. The model may return the columns in any order.
            origin: what the rows are built from, which becomes part of the file names.
            limit_s: maximum duration in seconds.

        Raises:
            Exception: the statement failed. Its files are removed.
            StatementTimeoutError: it took longer than `limit_s`. Its files are removed.
        """
        ...

    def query(
        self,
        model: SqlModel,
        inputs: Inputs,
        parameters: Mapping[str, Any] | None = None,
        limit_s: float | None = None,
    ) -> "pa.Table":
        """Run a model and return its rows.

        Raises:
            StatementTimeoutError: it took longer than `limit_s` seconds.
        """
        ...

    def staged(
        self, model: SqlModel, inputs: Inputs, parameters: Mapping[str, Any], limit_s: float | None = None
    ) -> AbstractContextManager[Path]:
        """Write the rows of a model to a temporary Parquet file that several models can read, and delete it after the block."""
        ...

    def session(self, inputs: Inputs) -> AbstractContextManager[Session]:
        """A session over relations, until the block ends."""
        ...
