"""The values that commands of this service are made of. What cannot be right is refused here, field by field."""

import unicodedata
import uuid
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from services.account.domain.company_code import checked_company_code
from shared.kit.moments import Moment


def _plain(value: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value):
        raise ValueError("must not contain control characters")
    return value


def _one_line(value: str) -> str:
    return _plain(" ".join(value.split()))


def _empty_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), AfterValidator(_one_line)]
ExternalId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_plain),
    Field(description="The other system's id, as it writes it.", examples=["Acme Corporation"]),
]
OptionalText = Annotated[Text | None, BeforeValidator(_empty_is_none)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
Names = Annotated[dict[Language, Text], Field(max_length=20, examples=[{"en": "Huadong Power Grid", "zh": "华东电网"}])]
System = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9_.-]{1,40}$"),
    Field(description="The other system, such as `crm` or `erp`.", examples=["crm"]),
]
CompanyCode = Annotated[
    str, StringConstraints(strip_whitespace=True, to_upper=True), AfterValidator(checked_company_code)
]
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]

RESERVED_SYSTEMS = {
    "uscc": "it is set as unified_social_credit_code",
    "login": "it is set as subject",
}


class Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Command(Value):
    """`occurred_at`: when it was so in business; now, if left out."""

    occurred_at: Moment | None = None


class Reference(Value):
    """An entity by its id, or by the id that another system has for it."""

    id: uuid.UUID | None = None
    system: System | None = None
    external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.id is None) == (self.system is None) or (self.system is None) != (self.external_id is None):
            raise ValueError("give either id, or system and external_id")
        return self

    def __str__(self) -> str:
        return str(self.id) if self.id else f"{self.system}:{self.external_id}"


class LinkExternalId(Command):
    """`replace`: the entity has another id in this system, which is to be given up."""

    system: System
    external_id: ExternalId
    replace: bool = False


def given(command: BaseModel, field: str, present: object) -> object:
    """A field of a command that changes only what it names: left out, it stays as it is at `present`."""
    return getattr(command, field) if field in command.model_fields_set else present
