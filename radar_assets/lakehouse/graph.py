"""The graph of tables and their inputs, in the order of the flow. The layers declare the tables."""

from collections.abc import Iterable, Iterator, Mapping

from radar_assets.lakehouse.table import Table, Transform


class Graph(Mapping[str, Table]):
    """Tables by name, in an order that puts each after its inputs."""

    def __init__(self, tables: Iterable[Table]) -> None:
        """Check the order of the tables.

        Raises:
            ValueError: a name is used twice, or an input is missing or comes after the table that is built from it.
        """
        self._tables: dict[str, Table] = {}
        for table in tables:
            if table.name in self._tables:
                raise ValueError(f"duplicate table name {table.name}")
            for parent in table.inputs:
                if self._tables.get(parent.name) is not parent:
                    raise ValueError(f"{table.name} is listed before its input {parent.name}; list inputs first")
            self._tables[table.name] = table

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def derived(self, grid: Transform | None = None) -> list[Table]:
        """The tables that are built from others, optionally of one grid."""
        return [table for table in self._tables.values() if table.inputs and grid in (None, table.grid)]

    def downstream(self, table: Table) -> list[Table]:
        """The tables of the same grid that are built from a table, directly or through others of that grid."""
        names = {table.name}
        for other in self.derived(table.grid):
            if names & {parent.name for parent in other.inputs}:
                names.add(other.name)
        return [other for other in self.derived(table.grid) if other.name in names and other is not table]
