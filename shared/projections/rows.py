"""Rows in memory, of one batch or of many: loaded by group, changed, written back in bulk with sorted keys."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import ARRAY, Table, any_, literal, select
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.projections.definition import GroupKey, Projection, Row

Key = tuple[Any, ...]


class UndeclaredGroupError(LookupError):
    """A handler asked for a group that its `key` function had not named."""


class TableRows:
    """One table's rows of the loaded groups as they are now, and the keys of those that the database has."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns = tuple(column.name for column in table.columns)
        self.key_columns = tuple(column.name for column in table.primary_key)
        self.json_columns = tuple(column.name for column in table.columns if isinstance(column.type, JSON | JSONB))
        self.groups: dict[GroupKey, dict[Key, Row]] = {}
        self.stored: set[Key] = set()
        self.touched: set[Key] = set()
        self._group_type = table.c[self.key_columns[0]].type.python_type
        self._key = itemgetter(*self.key_columns)
        self._single = len(self.key_columns) == 1

    @property
    def held(self) -> int:
        """How much there is in memory: groups, rows that were loaded, and rows that were changed."""
        return len(self.groups) + len(self.stored) + len(self.touched)

    def key(self, row: Row) -> Key:
        found = self._key(row)
        return (found,) if self._single else found

    def group(self, name: GroupKey) -> dict[Key, Row]:
        try:
            return self.groups[name]
        except KeyError:
            raise UndeclaredGroupError(
                f"{self.table.name}: group {name!r} was not loaded; the handler's key function must name it"
            ) from None

    def declare(self, groups: Iterable[GroupKey]) -> list[GroupKey]:
        """Make room for groups; those that are new. Groups of another type are those of another table."""
        new = [group for group in groups if group not in self.groups and isinstance(group, self._group_type)]
        self.groups.update({group: {} for group in new})
        return new

    async def load(self, connection: AsyncConnection, groups: Iterable[GroupKey]) -> None:
        new = self.declare(groups)
        if not new:
            return
        column = self.table.c[self.key_columns[0]]
        wanted = literal(sorted(new, key=str), ARRAY(column.type))
        for found in (await connection.execute(select(self.table).where(column == any_(wanted)))).mappings():
            row = dict(found)
            key = self.key(row)
            self.groups[key[0]][key] = row
            self.stored.add(key)

    def changes(self) -> tuple[list[Row], list[Row], list[Key]]:
        """(inserted, updated, deleted), each sorted by key: the same order in every process, so no deadlocks."""
        inserted, updated, deleted = [], [], []
        for key in sorted(self.touched):
            now = self.groups[key[0]].get(key)
            if now is None:
                if key in self.stored:
                    deleted.append(key)
            elif key in self.stored:
                updated.append(now)
            else:
                inserted.append(now)
        return inserted, updated, deleted

    def forget(self) -> None:
        for held in (self.groups, self.stored, self.touched):
            held.clear()


class RowBatch:
    """Implements `Rows` for events on one generation: of a batch, or of as many batches as fit into memory. `empty`: the tables
    are, so that nothing need be loaded before something has been written.
    """

    def __init__(self, projection: Projection, schema: str, *, empty: bool = False) -> None:
        self.schema = schema
        self._tables = {table: TableRows(table) for table in projection.tables}
        self._translation = {projection.name: schema}
        self.empty = empty

    @property
    def held(self) -> int:
        """How much there is in memory: groups, rows that were loaded, and rows that were changed."""
        return sum(table.held for table in self._tables.values())

    def declare(self, groups: Collection[GroupKey]) -> None:
        """Instead of loading them, as long as the tables are empty."""
        for table in self._tables.values():
            table.declare(groups)

    async def load(self, connection: AsyncConnection, groups: Iterable[GroupKey]) -> None:
        wanted = list(dict.fromkeys(groups))
        translated = await connection.execution_options(schema_translate_map=self._translation)
        for table in self._tables.values():
            await table.load(translated, wanted)

    def of(self, table: Table, group: GroupKey) -> Sequence[Row]:
        rows = self._tables[table].group(group)
        return [dict(rows[key]) for key in sorted(rows)]

    def one(self, table: Table, *primary_key: Hashable) -> Row | None:
        found = self._tables[table].group(primary_key[0]).get(primary_key)
        return None if found is None else dict(found)

    def put(self, table: Table, row: Row) -> None:
        rows = self._tables[table]
        complete = {name: row.get(name) for name in rows.columns}
        for name in rows.json_columns:  # as they will come back: a fold must not depend on where a batch ends
            complete[name] = orjson.loads(orjson.dumps(complete[name]))
        key = rows.key(complete)
        rows.group(key[0])[key] = complete
        rows.touched.add(key)

    def delete(self, table: Table, *primary_key: Hashable) -> None:
        rows = self._tables[table]
        rows.group(primary_key[0]).pop(primary_key, None)
        rows.touched.add(primary_key)

    async def flush(self, connection: AsyncConnection) -> None:
        """Write what changed, and hold no row any more. New rows by COPY: their groups were loaded whole, so they cannot
        collide.
        """
        driver = (await connection.get_raw_connection()).driver_connection
        for rows in self._tables.values():
            inserted, updated, deleted = rows.changes()
            statements = _Statements(rows, self.schema)
            if deleted:
                await driver.executemany(statements.delete, deleted)  # type: ignore[union-attr]
            if updated:
                await driver.executemany(statements.update, [statements.record(row) for row in updated])  # type: ignore[union-attr]
            if inserted:
                await driver.copy_records_to_table(  # type: ignore[union-attr]
                    rows.table.name,
                    schema_name=self.schema,
                    columns=statements.columns,
                    records=map(statements.record, inserted),
                )
            rows.forget()
        self.empty = False


class _Statements:
    """Names come from table definitions in code, values travel as parameters."""

    def __init__(self, rows: TableRows, schema: str) -> None:
        table, keys = rows.table, rows.key_columns
        others = [column.name for column in table.columns if column.name not in keys]
        self.columns = [*keys, *others]
        self._json = set(rows.json_columns)
        name = f'"{schema}"."{table.name}"'
        match = " AND ".join(f'"{key}" = ${n}' for n, key in enumerate(keys, 1))
        sets = ", ".join(f'"{column}" = ${n}' for n, column in enumerate(others, len(keys) + 1))
        self.delete = f"DELETE FROM {name} WHERE {match}"  # noqa: S608
        self.update = f"UPDATE {name} SET {sets} WHERE {match}"  # noqa: S608

    def record(self, row: Row) -> tuple[Any, ...]:
        return tuple(
            orjson.dumps(row[name]).decode() if name in self._json and row[name] is not None else row[name]
            for name in self.columns
        )
