"""From the rows of a CRM export to typed rows: pure, and nothing is lost without a word.

Every line of a file ends as a row that is taken (perhaps with *doubts*, kept as flags) or as a *rejection*; the two add up to
the lines read.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from services.imports.mapping import Mapping, StageValue
from shared.kit.money import Money


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to report about a line: `code` and sentence; for a rejection, why it cannot be taken."""

    file: str
    line: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class AccountRow:
    line: int
    id: str
    name: str
    industry: str | None
    parent: str | None
    attributes: Dict[str, str]


@dataclass(frozen=True, slots=True)
class ProductRow:
    line: int
    id: str
    name: str
    series: str | None
    price: Money


@dataclass(frozen=True, slots=True)
class SellerRow:
    line: int
    person: str
    manager: str
    region: str


@dataclass(frozen=True, slots=True)
class OpportunityRow:
    line: int
    id: str
    owner: str | None
    product: str | None
    account: str | None
    stage: StageValue
    opened_on: date | None
    closed_on: date | None
    value: Money | None
    doubts: tuple[str, ...]


@dataclass(slots=True)
class Export:
    """A whole export, read. `read` counts the lines of each file; taken + rejected = read."""

    accounts: list[AccountRow] = field(default_factory=list)
    products: list[ProductRow] = field(default_factory=list)
    sellers: list[SellerRow] = field(default_factory=list)
    opportunities: list[OpportunityRow] = field(default_factory=list)
    doubts: list[Finding] = field(default_factory=list)
    rejections: list[Finding] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)


class ExportError(ValueError):
    """A file of the export is missing or is no CSV with the columns that the mapping names."""


class _Rejected(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_export(folder: Path, mapping: Mapping, today: date) -> Export:
    """Read all four files of `folder`. `today` bounds business dates: a later one is impossible. Raises ExportError."""
    export = Export()
    for reader in (_accounts, _products, _sellers):
        reader(folder, mapping, export)
    _opportunities(folder, mapping, export, today)
    return export


def _lines(folder: Path, file: str, columns: Iterable[str], export: Export) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number as an editor shows it, row) of each well-formed line; malformed ones become rejections."""
    path = folder / file
    needed = list(columns)
    export.read[file] = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as source:
            rows = csv.reader(source, strict=True)
            header = [name.strip() for name in next(rows, [])]
            missing = [name for name in needed if name not in header]
            if missing:
                raise ExportError(
                    f"{path}: no column {', '.join(map(repr, missing))}; it has {', '.join(header) or 'none'}"
                )
            for cells in rows:
                if not cells:
                    continue
                export.read[file] += 1
                if len(cells) != len(header):
                    message = f"{len(cells)} cells where the header has {len(header)}"
                    export.rejections.append(Finding(file, rows.line_num, "malformed_line", message))
                    continue
                if any("\x00" in cell for cell in cells):
                    export.rejections.append(Finding(file, rows.line_num, "malformed_line", "a NUL byte in a cell"))
                    continue
                yield rows.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except FileNotFoundError:
        raise ExportError(f"{path} does not exist; the mapping names it under `files`") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ExportError(f"{path}: not a CSV file in UTF-8: {error}") from error


def _once(seen: dict[str, int], key: str, line: int, what: str) -> None:
    if not key:
        raise _Rejected("missing_id", f"the {what} has no id")
    if key in seen:
        raise _Rejected("duplicate_id", f"{what} {key!r} stands on line {seen[key]} already")
    seen[key] = line


def _accounts(folder: Path, mapping: Mapping, export: Export) -> None:
    columns, file = mapping.accounts, mapping.files.accounts
    seen: dict[str, int] = {}
    needed = (columns.id, columns.name, columns.industry, columns.parent, *columns.attributes)
    for line, row in _lines(folder, file, needed, export):
        try:
            _once(seen, row[columns.id], line, "account")
        except _Rejected as why:
            export.rejections.append(Finding(file, line, why.code, str(why)))
            continue
        for column, spellings in columns.spelling.items():
            if row.get(column) in spellings:
                right = spellings[row[column]]
                export.doubts.append(Finding(file, line, "spelling", f"{column} {row[column]!r} taken as {right!r}"))
                row[column] = right
        export.accounts.append(
            AccountRow(
                line,
                row[columns.id],
                row[columns.name],
                row[columns.industry] or None,
                row[columns.parent] or None,
                {name: row[name] for name in columns.attributes if row[name]},
            )
        )


def _products(folder: Path, mapping: Mapping, export: Export) -> None:
    columns, file = mapping.products, mapping.files.products
    seen: dict[str, int] = {}
    for line, row in _lines(folder, file, (columns.id, columns.name, columns.series, columns.price), export):
        try:
            _once(seen, row[columns.id], line, "product")
            price = _money(row[columns.price], mapping)
            if price is None:
                raise _Rejected("missing_price", "the product has no price")
        except _Rejected as why:
            export.rejections.append(Finding(file, line, why.code, str(why)))
            continue
        export.products.append(ProductRow(line, row[columns.id], row[columns.name], row[columns.series] or None, price))


def _sellers(folder: Path, mapping: Mapping, export: Export) -> None:
    columns, file = mapping.teams, mapping.files.teams
    seen: dict[str, int] = {}
    for line, row in _lines(folder, file, (columns.person, columns.manager, columns.region), export):
        try:
            _once(seen, row[columns.person], line, "seller")
            if not row[columns.manager]:
                raise _Rejected("missing_manager", f"{row[columns.person]!r} has no manager, so no team")
        except _Rejected as why:
            export.rejections.append(Finding(file, line, why.code, str(why)))
            continue
        export.sellers.append(SellerRow(line, row[columns.person], row[columns.manager], row[columns.region]))
    working = {seller.person for seller in export.sellers}
    export.doubts.extend(
        Finding(file, seller.line, "manager_is_seller", f"{seller.manager!r} is also listed as a seller")
        for seller in export.sellers
        if seller.manager in working
    )


def _opportunities(folder: Path, mapping: Mapping, export: Export, today: date) -> None:
    columns, file = mapping.opportunities, mapping.files.opportunities
    seen: dict[str, int] = {}
    names = _Names(export)
    for line, row in _lines(folder, file, columns.model_dump().values(), export):
        try:
            _once(seen, row[columns.id], line, "opportunity")
            taken, doubts = _opportunity(line, row, mapping, names, today)
        except _Rejected as why:
            export.rejections.append(Finding(file, line, why.code, str(why)))
            continue
        export.opportunities.append(taken)
        export.doubts.extend(Finding(file, line, code, message) for code, message in doubts)


class _Names:
    """Who and what the export knows; a product is also found when only blanks and case differ."""

    def __init__(self, export: Export) -> None:
        self.accounts = {account.id for account in export.accounts}
        self.people = {seller.person for seller in export.sellers} | {seller.manager for seller in export.sellers}
        self.products = {product.id for product in export.products}
        folded: dict[str, list[str]] = {}
        for product in self.products:
            folded.setdefault(_fold(product), []).append(product)
        self.respelled = {key: found[0] for key, found in folded.items() if len(found) == 1}


def _fold(name: str) -> str:
    return re.sub(r"\s+", "", name).casefold()


def _opportunity(
    line: int, row: dict[str, str], mapping: Mapping, names: _Names, today: date
) -> tuple[OpportunityRow, list[tuple[str, str]]]:
    columns = mapping.opportunities
    doubts: list[tuple[str, str]] = []
    stage = mapping.process.values.get(row[columns.stage])
    if stage is None:
        known = ", ".join(mapping.process.values)
        raise _Rejected("unknown_stage", f"{columns.stage} {row[columns.stage]!r} is none of {known}")
    opened = _day(row[columns.opened_on], columns.opened_on, mapping, today)
    closed = _day(row[columns.closed_on], columns.closed_on, mapping, today)
    if opened and closed and closed < opened:
        raise _Rejected("closed_before_opened", f"closed on {closed}, opened on {opened}")
    value = _money(row[columns.value], mapping)
    if stage.outcome and closed is None:
        raise _Rejected("outcome_without_date", f"{row[columns.stage]!r} without {columns.closed_on}")
    if stage.outcome == "won" and value is None:
        raise _Rejected("won_without_value", f"won without {columns.value}")
    if opened is None:
        doubts.append(("undated", f"no {columns.opened_on}: when it began is unknown, it counts from the import on"))
    owner = _known(row[columns.owner], names.people, "seller", doubts)
    account = _known(row[columns.account], names.accounts, "account", doubts)
    product: str | None = row[columns.product] or None
    if product is None:
        doubts.append(("no_product", "no product"))
    elif product not in names.products:
        respelled = names.respelled.get(_fold(product))
        code = "product_spelling" if respelled else "unknown_product"
        doubts.append(
            (code, f"product {product!r} taken as {respelled!r}" if respelled else f"unknown product {product!r}")
        )
        product = respelled
    flags = tuple(code for code, _ in doubts)
    # A lost deal's value of 0 is the export's way of saying "nothing": the price that we lost at is not known.
    money = None if stage.outcome != "won" and value is not None and value.minor == 0 else value
    return OpportunityRow(line, row[columns.id], owner, product, account, stage, opened, closed, money, flags), doubts


def _known(name: str, known: set[str], what: str, doubts: list[tuple[str, str]]) -> str | None:
    if not name:
        doubts.append((f"no_{what}", f"no {what}"))
        return None
    if name not in known:
        doubts.append((f"unknown_{what}", f"{what} {name!r} is not in the export's list"))
        return None
    return name


def _day(text: str, column: str, mapping: Mapping, today: date) -> date | None:
    if not text:
        return None
    try:
        day = datetime.strptime(text, mapping.date_format).date()  # noqa: DTZ007 - a calendar day has no time zone
    except ValueError:
        raise _Rejected("bad_date", f"{column} {text!r} is not a date like {mapping.date_format}") from None
    if day > today:
        raise _Rejected("date_in_future", f"{column} {text!r} is after today, {today}")
    if day.year < 1970:
        raise _Rejected("bad_date", f"{column} {text!r} is before 1970")
    return day


def _money(text: str, mapping: Mapping) -> Money | None:
    if not text:
        return None
    try:
        money = Money.parse(text, mapping.currency)
    except ValueError as error:
        raise _Rejected("bad_money", str(error)) from None
    if money.minor < 0:
        raise _Rejected("negative_money", f"{text!r} is negative")
    return money
