"""The mapping file of a CRM export: which column is what. A user's to copy and change, so every fault in it is named at once."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from services.opportunity.domain.process import (
    DEFAULT_PROCESS_KEY,
    DefineProcess,
    ProcessState,
    decide_define_process,
)
from shared.contracts.opportunity import BuyingStage, Code, FunnelState, Requirement, SellingStage
from shared.contracts.refusal import RefusedError
from shared.kit.money import Currency

DEFAULT_MAPPING = Path(__file__).with_name("crm_export.yaml")
MOVED_ON = Requirement(code="moved_on", names={"en": "Moved on in the CRM", "zh": "已在 CRM 中推进"})

Column = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00]+$", max_length=200)]
Attribute = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,60}$")]


class MappingError(ValueError):
    """The mapping file cannot be used; the message names every fault."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Files(Part):
    accounts: FileName
    products: FileName
    teams: FileName
    opportunities: FileName

    @model_validator(mode="after")
    def _four_files(self) -> Self:
        names = list(self.model_dump().values())
        if len(set(names)) < len(names):
            raise ValueError("one file is named twice")
        return self


class AccountColumns(Part):
    """`attributes`: name of the attribute → column. `spelling`: column → wrong value → right value."""

    id: Column
    name: Column
    industry: Column
    parent: Column
    attributes: dict[Attribute, Column] = Field(default_factory=dict, max_length=60)
    spelling: dict[Column, dict[str, str]] = Field(default_factory=dict)

    @property
    def used(self) -> tuple[str, ...]:
        return (self.id, self.name, self.industry, self.parent, *self.attributes.values())

    @model_validator(mode="after")
    def _spelling_of_used_columns(self) -> Self:
        unused = [column for column in self.spelling if column not in self.used]
        if unused:
            raise ValueError(f"spelling names {', '.join(map(repr, unused))}, which no field is taken from")
        return self


class ProductColumns(Part):
    id: Column
    name: Column
    series: Column
    price: Column


class TeamColumns(Part):
    person: Column
    manager: Column
    region: Column


class OpportunityColumns(Part):
    id: Column
    owner: Column
    product: Column
    account: Column
    stage: Column
    opened_on: Column
    closed_on: Column
    value: Column


class StageMapping(Part):
    code: Code
    names: dict[str, str]
    probability: int = Field(ge=0, le=100)
    buying: Code
    funnel_state: FunnelState


class StageValue(Part):
    """What a value of the stage column means: the working stage, and the outcome when the row is closed."""

    stage: int = Field(ge=1)
    outcome: Literal["won", "lost", "abandoned"] | None = None
    reason: str | None = Field(default=None, min_length=1, max_length=4_000)


class ProcessMapping(Part):
    key: Code
    names: dict[str, str]
    stages: tuple[StageMapping, ...] = Field(min_length=1, max_length=40)
    values: dict[str, StageValue] = Field(min_length=1)

    @model_validator(mode="after")
    def _makes_a_process(self) -> Self:
        faults = [
            f"{value!r} names stage {meaning.stage}; the process has {len(self.stages)}"
            for value, meaning in self.values.items()
            if meaning.stage > len(self.stages)
        ]
        if self.key == DEFAULT_PROCESS_KEY:
            faults.append(f"the key {self.key!r} is the built-in process's; the export's stages need one of their own")
        try:
            decide_define_process(ProcessState(), self.definition, self.key)
        except RefusedError as refusal:
            faults += [reason.message for reason in refusal.reasons]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def definition(self) -> DefineProcess:
        """The export's stages as a sales process: a stage is over when the CRM has moved the row on."""
        stages = list(enumerate(self.stages, 1))
        return DefineProcess(
            names=self.names,
            selling=tuple(
                SellingStage(
                    number=n, code=stage.code, names=stage.names, probability=stage.probability, criteria=(MOVED_ON,)
                )
                for n, stage in stages
            ),
            buying=tuple(
                BuyingStage(number=n, code=stage.buying, names=stage.names, funnel_state=stage.funnel_state)
                for n, stage in stages
            ),
        )


class Mapping(Part):
    system: str = Field(pattern=r"^[a-z0-9_.-]{1,40}$")
    currency: Currency
    date_format: str
    files: Files
    accounts: AccountColumns
    products: ProductColumns
    teams: TeamColumns
    opportunities: OpportunityColumns
    process: ProcessMapping

    @field_validator("date_format")
    @classmethod
    def _names_a_day(cls, value: str) -> str:
        example = date(2017, 3, 31)
        try:
            read = datetime.strptime(example.strftime(value), value).date()  # noqa: DTZ007 - a calendar day
        except ValueError:
            read = None
        if read != example:
            raise ValueError(f"{value!r} does not name a day; write such as %m/%d/%Y or %Y-%m-%d")
        return value


def load_mapping(path: Path = DEFAULT_MAPPING) -> Mapping:
    """Read a mapping file (YAML). Raises MappingError naming the file and every fault in it."""
    try:
        read: Any = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MappingError(f"{path}: {error}") from error
    if not isinstance(read, dict):
        raise MappingError(f"{path} holds no mapping; {DEFAULT_MAPPING} is one to copy")
    try:
        return Mapping.model_validate(read)
    except ValidationError as error:
        faults = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise MappingError(f"{path} cannot be used:\n{faults}") from error
