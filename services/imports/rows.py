"""What an export holds once it is read: typed rows, and what is to be reported about its lines."""

from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from datetime import date

from services.imports.mapping import StageValue
from shared.kit.money import Money


class ExportError(ValueError):
    """A file of the export is missing or is no CSV with the columns that the mapping names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to report about a line: `code` and sentence; for a rejection, why it cannot be taken."""

    file: str
    line: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class AccountRow:
    """`parent`: an account of the export; None: the top of a tree. It is not known when `flags` doubt it."""

    line: int
    id: str
    name: str
    industry: str | None
    parent: str | None
    attributes: Dict[str, str]
    flags: tuple[str, ...] = ()


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
    """A whole export, read. `read` counts the rows of each file; taken + rejected = read."""

    accounts: list[AccountRow] = field(default_factory=list)
    products: list[ProductRow] = field(default_factory=list)
    sellers: list[SellerRow] = field(default_factory=list)
    opportunities: list[OpportunityRow] = field(default_factory=list)
    doubts: list[Finding] = field(default_factory=list)
    rejections: list[Finding] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
