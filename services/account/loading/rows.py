"""From the rows of a table to commands: what a row cannot mean is a problem of that row alone."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from services.account.api.asking import created, upserted
from services.account.domain.values import Command, ExternalId
from services.account.loading.kinds import Loadable
from services.account.loading.run import Item
from services.account.loading.table import CsvTable, TableRow
from shared.contracts.refusal import refuse
from shared.eventstore.commands import Decide

_EXTERNAL_ID: TypeAdapter[str] = TypeAdapter(ExternalId)


@dataclass(frozen=True, slots=True)
class ReadRows:
    """`items` by line, and what is wrong with the other lines."""

    items: list[Item]
    wrong: dict[int, Exception]


def read_rows(kind: Loadable, table: CsvTable, system: str | None) -> ReadRows:
    read = ReadRows([], {})
    for row in table.rows:
        try:
            read.items.append(_item(kind, row, system))
        except RequestValidationError as error:
            read.wrong[row.line] = error
        except ValidationError as error:
            read.wrong[row.line] = RequestValidationError([_by_column(one) for one in error.errors()])
        except ValueError as error:
            expected = "an amount such as 1054.00, and a currency such as CNY"
            read.wrong[row.line] = refuse("bad_price", str(error), field="list_price", expected=expected, kind="input")
    return read


def _item(kind: Loadable, row: TableRow, system: str | None) -> Item:
    said = kind.fields(row.cells, system)
    external_id = None
    if system is not None:
        try:
            external_id = _EXTERNAL_ID.validate_python(row.cells["external_id"])
        except ValidationError as error:
            raise RequestValidationError([{**one, "loc": ("external_id",)} for one in error.errors()]) from None
    body = kind.model.model_validate(said)
    key = None if external_id is None else (system, external_id)
    parent = getattr(body, "parent", None)
    above = None if parent is None or parent.id else (parent.system, parent.external_id)
    return Item(row.line, body, partial(_decide, kind, system, external_id), key, above)


def _decide(kind: Loadable, system: str | None, external_id: str | None, body: Command) -> Decide:
    if system is None or external_id is None:
        return created(lambda work: kind.create(work, body))
    return upserted(kind.entity, system, external_id, lambda work: kind.upsert(work, system, external_id, body))


def _by_column(error: Any) -> dict[str, Any]:
    """`parent.external_id` stands in the column `parent`, `members.2.external_id` in `members`; a key is its column."""
    inside = ("external_id", "system", "[key]")
    where = [str(part) for part in error["loc"] if part not in inside and not isinstance(part, int)]
    return {**error, "loc": tuple(where)}
