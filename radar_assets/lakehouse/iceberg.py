"""Declarations of tables and new data files in Iceberg's terms."""

from typing import TYPE_CHECKING, Any

from radar_assets.lakehouse.files import NewFile
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.table import Column, Table

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema


def iceberg_schema(table: Table) -> "Schema":
    """The Iceberg schema of a table; a column's field id is its position."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    return Schema(
        *(
            NestedField(
                field_id=position,
                name=column.name,
                field_type=_iceberg_type(column),
                # Readers rely on the schema check instead: a required column could never become optional again.
                required=False,
                doc=column.description,
            )
            for position, column in enumerate(table.columns, start=1)
        )
    )


def iceberg_partition_spec(table: Table) -> "PartitionSpec":
    """The Iceberg partition spec of a table."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import parse_transform

    ids = {name: place for place, name in enumerate(table.column_names, start=1)}
    return PartitionSpec(
        *(
            PartitionField(
                source_id=ids[column],
                field_id=1000 + place,
                transform=parse_transform(transform),
                name=name,
            )
            for place, (name, (column, transform)) in enumerate(
                zip(partition_names(table), table.partition_by, strict=True)
            )
        )
    )


def partition_names(table: Table) -> list[str]:
    """The names of the partition fields of a table."""
    return [f"{column}_{transform}" for column, transform in table.partition_by]


def _iceberg_type(column: Column) -> Any:
    from pyiceberg import types

    return {
        "string": types.StringType(),
        "long": types.LongType(),
        "int": types.IntegerType(),
        "double": types.DoubleType(),
        "boolean": types.BooleanType(),
        "timestamp": types.TimestampType(),
        "date": types.DateType(),
        "binary": types.BinaryType(),
        "decimal(18,4)": types.DecimalType(18, 4),
    }[column.type]


def iceberg_data_file(head: Snapshot, file: NewFile) -> "DataFile":
    """The entry of a new file in a manifest of Iceberg."""
    from pyiceberg.conversions import to_bytes
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    fields = {item.name: item for item in head.iceberg.schema().fields}
    bounds = {name: pair for name, pair in file.bounds.items() if name in fields}
    data_file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=f"file://{file.path}",
        file_format=FileFormat.PARQUET,
        partition=Record(*file.partition),
        record_count=file.rows,
        file_size_in_bytes=file.size_bytes,
        column_sizes={fields[name].field_id: size for name, size in file.sizes.items()},
        value_counts={fields[name].field_id: file.rows for name in file.nulls},
        null_value_counts={fields[name].field_id: count for name, count in file.nulls.items()},
        nan_value_counts={},
        lower_bounds={
            fields[name].field_id: to_bytes(fields[name].field_type, low) for name, (low, _) in bounds.items()
        },
        upper_bounds={
            fields[name].field_id: to_bytes(fields[name].field_type, high) for name, (_, high) in bounds.items()
        },
        key_metadata=None,
        split_offsets=None,
        equality_ids=None,
        sort_order_id=None,
    )
    data_file.spec_id = head.iceberg.metadata.default_spec_id
    return data_file
