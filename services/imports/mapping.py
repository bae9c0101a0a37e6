"""The mapping file of a CRM export: which column is what."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.kit.money import Currency

DEFAULT_MAPPING = Path(__file__).with_name("crm_export.yaml")


class MappingError(ValueError):
    """The mapping file cannot be used; the message names every fault."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Files(Part):
    accounts: str
    products: str
    teams: str
    opportunities: str


class AccountColumns(Part):
    id: str
    name: str
    industry: str
    parent: str
    attributes: tuple[str, ...] = ()
    spelling: dict[str, dict[str, str]] = Field(default_factory=dict)


class ProductColumns(Part):
    id: str
    name: str
    series: str
    price: str


class TeamColumns(Part):
    person: str
    manager: str
    region: str


class OpportunityColumns(Part):
    id: str
    owner: str
    product: str
    account: str
    stage: str
    opened_on: str
    closed_on: str
    value: str


class StageMapping(Part):
    code: str
    names: dict[str, str]
    probability: int = Field(ge=0, le=100)
    buying: str
    funnel_state: Literal["searching", "in_funnel", "best"]


class StageValue(Part):
    """What a value of the stage column means: the working stage, and the outcome when the row is closed."""

    stage: int = Field(ge=1)
    outcome: Literal["won", "lost", "abandoned"] | None = None
    reason: str | None = None


class ProcessMapping(Part):
    key: str
    names: dict[str, str]
    stages: tuple[StageMapping, ...] = Field(min_length=1)
    values: dict[str, StageValue]

    @model_validator(mode="after")
    def _stages_exist(self) -> "ProcessMapping":
        for value, meaning in self.values.items():
            if meaning.stage > len(self.stages):
                raise ValueError(f"{value!r} names stage {meaning.stage}; the process has {len(self.stages)}")
        return self


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


def load_mapping(path: Path = DEFAULT_MAPPING) -> Mapping:
    """Read a mapping file (YAML). Raises MappingError naming the file and every fault in it."""
    try:
        return Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MappingError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise MappingError(f"{path}: {faults}") from error
