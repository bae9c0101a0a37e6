"""The account service's contract, and the kinds of fields its events share."""

from typing import Annotated

from pydantic import Field

from shared.contracts.event import Contract

CONTRACT = Contract("account")

EntityId = Annotated[
    str, Field(json_schema_extra={"format": "uuid"}, examples=["0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"])
]
"""The id of an account, a person, a team or a product: a UUID in its usual text form."""

Names = Annotated[dict[str, str], Field(examples=[{"en": "Huadong Power Grid", "zh": "华东电网"}])]
"""The name by language (`en`, `zh`), as far as known; `name` is for everybody else."""
