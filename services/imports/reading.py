"""From the rows of a CRM export to typed rows: nothing is lost without a word.

Every row of a file ends as a row that is taken (perhaps with *doubts*, kept as flags) or as a *rejection*; the two add up to
the rows read. What is doubtful: the row says something that may be wrong or leaves something out. What is impossible: no fact
could be made of it without inventing one.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from pydantic import ValidationError

from services.imports.lines import lines
from services.imports.mapping import Mapping, StageValue
from services.imports.rows import AccountRow, Export, ExportError, Finding, OpportunityRow, ProductRow, SellerRow
from shared.kit.money import Money

__all__ = ["Export", "ExportError", "Finding", "read_export"]

LONGEST_ID, LONGEST_NAME = 80, 300  # characters
EARLIEST = date(1970, 1, 1)
AMOUNT = re.compile(r"-?(\d{1,3}(,\d{3})+|\d{1,20})(\.\d{1,10})?", re.ASCII)

Doubts = list[tuple[str, str]]


class _Rejected(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_export(folder: Path, mapping: Mapping, today: date) -> Export:
    """Read all four files of `folder`. `today` bounds what has happened: a later day is impossible. Raises ExportError."""
    if not folder.is_dir():
        raise ExportError(f"{folder} is no folder")
    export = Export()
    _accounts(folder, mapping, export)
    _products(folder, mapping, export)
    _sellers(folder, mapping, export)
    _opportunities(folder, mapping, export, today)
    return export


def _take(
    folder: Path,
    file: str,
    needed: tuple[str, ...],
    export: Export,
    take: Callable[[int, dict[str, str]], Doubts],
) -> None:
    """Hand each row to `take`; what that doubts or rejects is noted under the row's line."""
    export.read[file] = 0
    for line in lines(folder / file, needed):
        export.read[file] += 1
        try:
            if line.fault is not None:
                raise _Rejected("malformed_line", line.fault)
            doubts = take(line.number, line.cells)
        except _Rejected as why:
            export.rejections.append(Finding(file, line.number, why.code, str(why)))
            continue
        export.doubts.extend(Finding(file, line.number, code, message) for code, message in doubts)


def _accounts(folder: Path, mapping: Mapping, export: Export) -> None:
    columns, file = mapping.accounts, mapping.files.accounts
    seen: dict[str, int] = {}

    def take(line: int, row: dict[str, str]) -> Doubts:
        doubts: Doubts = []
        _once(seen, row[columns.id], line, "account")
        for column, spellings in columns.spelling.items():
            if row[column] in spellings:
                right = spellings[row[column]]
                doubts.append(("spelling", f"{column} {row[column]!r} taken as {right!r}"))
                row[column] = right
        export.accounts.append(
            AccountRow(
                line,
                row[columns.id],
                _name(row[columns.name] or row[columns.id]),
                _name(row[columns.industry]) or None,
                row[columns.parent] or None,
                {name: _name(row[column]) for name, column in columns.attributes.items() if row[column]},
                tuple(code for code, _ in doubts),
            )
        )
        return doubts

    _take(folder, file, columns.used, export, take)
    _check_parents(file, export)


def _check_parents(file: str, export: Export) -> None:
    """A parent that is not there, or that stands below its own child, is doubted: the account is taken without it."""
    parents = {row.id: row.parent for row in export.accounts}
    for place, row in enumerate(export.accounts):
        if row.parent is None:
            continue
        if row.parent not in parents:
            doubt = ("unknown_parent", f"parent {row.parent!r} is not in the export's list")
        elif _in_a_ring(row.id, parents):
            doubt = ("parent_ring", f"parent {row.parent!r} stands below {row.id!r} itself")
        else:
            continue
        export.accounts[place] = replace(row, parent=None, flags=(*row.flags, doubt[0]))
        export.doubts.append(Finding(file, row.line, *doubt))


def _in_a_ring(start: str, parents: dict[str, str | None]) -> bool:
    passed: set[str] = set()
    above = parents[start]
    while above is not None and above != start and above not in passed:
        passed.add(above)
        above = parents.get(above)
    return above == start


def _products(folder: Path, mapping: Mapping, export: Export) -> None:
    columns, file = mapping.products, mapping.files.products
    seen: dict[str, int] = {}

    def take(line: int, row: dict[str, str]) -> Doubts:
        _once(seen, row[columns.id], line, "product")
        price = _money(row[columns.price], mapping)
        if price is None:
            raise _Rejected("missing_price", "the product has no price")
        name, series = _name(row[columns.name] or row[columns.id]), _name(row[columns.series]) or None
        export.products.append(ProductRow(line, row[columns.id], name, series, price))
        return []

    _take(folder, file, (columns.id, columns.name, columns.series, columns.price), export, take)


def _sellers(folder: Path, mapping: Mapping, export: Export) -> None:
    columns, file = mapping.teams, mapping.files.teams
    seen: dict[str, int] = {}

    def take(line: int, row: dict[str, str]) -> Doubts:
        person, manager, region = row[columns.person], row[columns.manager], row[columns.region]
        _once(seen, person, line, "seller")
        if not manager:
            raise _Rejected("missing_manager", f"{person!r} has no manager, so no team")
        _check_id(manager, "manager")
        if region:
            _check_id(region, "region")
        export.sellers.append(SellerRow(line, person, manager, region))
        return []

    _take(folder, file, (columns.person, columns.manager, columns.region), export, take)
    sellers = {row.person for row in export.sellers}
    region_of: dict[str, str] = {}
    for row in export.sellers:
        if row.manager in sellers:
            message = f"manager {row.manager!r} is also listed as a seller"
            export.doubts.append(Finding(file, row.line, "manager_is_seller", message))
        if region_of.setdefault(row.manager, row.region) != row.region:
            message = f"{row.manager!r} leads a team in {region_of[row.manager]!r} already; {row.region!r} is left out"
            export.doubts.append(Finding(file, row.line, "manager_in_two_regions", message))


def _opportunities(folder: Path, mapping: Mapping, export: Export, today: date) -> None:
    columns, file = mapping.opportunities, mapping.files.opportunities
    seen: dict[str, int] = {}
    names = _Names(export)

    def take(line: int, row: dict[str, str]) -> Doubts:
        _once(seen, row[columns.id], line, "opportunity")
        taken, doubts = _opportunity(line, row, mapping, names, today)
        export.opportunities.append(taken)
        return doubts

    _take(folder, file, tuple(columns.model_dump().values()), export, take)


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
) -> tuple[OpportunityRow, Doubts]:
    columns = mapping.opportunities
    doubts: Doubts = []
    stage = mapping.process.values.get(row[columns.stage])
    if stage is None:
        known = ", ".join(mapping.process.values)
        raise _Rejected("unknown_stage", f"{columns.stage} {row[columns.stage]!r} is none of {known}")
    opened = _day(row[columns.opened_on], columns.opened_on, mapping, today)
    # Of an open row this is when it is expected to close, which is a day to come.
    closed = _day(row[columns.closed_on], columns.closed_on, mapping, today if stage.outcome else None)
    if opened and closed and closed < opened:
        raise _Rejected("closed_before_opened", f"closed on {closed}, opened on {opened}")
    value = _money(row[columns.value], mapping)
    if stage.outcome and closed is None:
        raise _Rejected("outcome_without_date", f"{row[columns.stage]!r} without {columns.closed_on}")
    if stage.outcome == "won" and value is None:
        raise _Rejected("won_without_value", f"won without {columns.value}")
    if opened is None:
        doubts.append(("undated", f"no {columns.opened_on}: {_since(stage, columns.closed_on)}"))
    if stage.outcome == "won" and value is not None and value.minor == 0:
        doubts.append(("won_for_nothing", f"won with {columns.value} 0"))
    owner = _known(row[columns.owner], names.people, "seller", doubts)
    account = _known(row[columns.account], names.accounts, "account", doubts)
    product = _product(row[columns.product], names, doubts)
    flags = tuple(code for code, _ in doubts)
    # The value 0 of a deal that is not won is the export's way of saying "nothing": its price is not known.
    money = None if stage.outcome != "won" and value is not None and value.minor == 0 else value
    return OpportunityRow(line, row[columns.id], owner, product, account, stage, opened, closed, money, flags), doubts


def _since(stage: StageValue, closed_on: str) -> str:
    if stage.outcome:
        return f"when it began is unknown, it counts from its {closed_on} on"
    return "when it began is unknown, it counts from the import on"


def _product(name: str, names: _Names, doubts: Doubts) -> str | None:
    if not name or name in names.products:
        return _known(name, names.products, "product", doubts)
    respelled = names.respelled.get(_fold(name))
    if respelled is None:
        return _known(name, names.products, "product", doubts)
    doubts.append(("product_spelling", f"product {name!r} taken as {respelled!r}"))
    return respelled


def _known(name: str, known: set[str], what: str, doubts: Doubts) -> str | None:
    if not name:
        doubts.append((f"no_{what}", f"no {what}"))
        return None
    if name not in known:
        doubts.append((f"unknown_{what}", f"{what} {name[:LONGEST_ID]!r} is not in the export's list"))
        return None
    return name


def _once(seen: dict[str, int], key: str, line: int, what: str) -> None:
    if not key:
        raise _Rejected("missing_id", f"the {what} has no id")
    _check_id(key, what)
    if key in seen:
        raise _Rejected("duplicate_id", f"{what} {key!r} stands on line {seen[key]} already")
    seen[key] = line


def _check_id(text: str, what: str) -> None:
    if len(text) > LONGEST_ID:
        raise _Rejected("bad_id", f"the {what}'s id has {len(text)} characters; at most {LONGEST_ID} are allowed")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise _Rejected("bad_id", f"the {what}'s id {text!r} has a line break or control character in it")


def _name(text: str) -> str:
    """A name or value on one line. Rejects what is too long to be one."""
    name = " ".join(text.split())
    if len(name) > LONGEST_NAME:
        raise _Rejected("too_long", f"a cell has {len(name)} characters; at most {LONGEST_NAME} are allowed")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise _Rejected("control_character", f"{name!r} has a control character in it")
    return name


def _day(text: str, column: str, mapping: Mapping, latest: date | None) -> date | None:
    if not text:
        return None
    try:
        day = datetime.strptime(text, mapping.date_format).date()  # noqa: DTZ007 - a calendar day has no time zone
    except ValueError:
        raise _Rejected("bad_date", f"{column} {text[:40]!r} is not a date like {mapping.date_format}") from None
    if latest is not None and day > latest:
        raise _Rejected("date_in_future", f"{column} {text!r} is after today, {latest}")
    if not EARLIEST <= day <= date(2199, 12, 31):
        raise _Rejected("bad_date", f"{column} {text!r} is not between 1970 and 2199")
    return day


def _money(text: str, mapping: Mapping) -> Money | None:
    if not text:
        return None
    if not AMOUNT.fullmatch(text):
        raise _Rejected("bad_money", f"{text[:40]!r} is not an amount of money such as 1054, 1,054 or 12.30")
    if text.startswith("-"):
        raise _Rejected("negative_money", f"{text!r} is negative")
    try:
        return Money.parse(text, mapping.currency)
    except ValidationError:
        raise _Rejected("bad_money", f"{text!r} is more money than there is") from None
    except ValueError as error:
        raise _Rejected("bad_money", str(error)) from None
