"""What we gave to the customer of an opportunity (R5, R9): stream `opportunity-<id>`."""

from pydantic import Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Code, Text
from shared.contracts.opportunity.gates import ConcessionKind, GrantingRole, Part
from shared.kit.money import Money


class Concession(Part):
    """`discount` with `discount_bp` (basis points), `price` with the `price` agreed, `payment_terms` with `payment_days` after
    delivery (0: before it), `non_standard_promise` with the `promise` and who has agreed to keep it. `amount`: what the deal is
    worth, where the opportunity does not say or says less."""

    kind: ConcessionKind
    discount_bp: int | None = Field(default=None, ge=1, le=10_000)
    price: Money | None = None
    payment_days: int | None = Field(default=None, ge=0, le=3_650)
    promise: Text | None = None
    agreed_by: tuple[Code, ...] = Field(default=(), max_length=20, examples=[["technical", "quality"]])
    amount: Money | None = None


@CONTRACT.event("opportunity.concession_granted")
class ConcessionGranted(Event):
    """`granted_as`: the role whose authority covered it; absent where it needed none. `reason` absent: the amount was lowered after
    a price had been offered, or the contract is worth less than the amount on record, and that is a lower price.

    Of a discount and of a price: `reduction_bp`, by how much a price is lower than the `reference`, the highest amount on record
    since the first of them; `together_bp`, by how much discount and price are below it together. Basis points; absent where they
    cannot be measured."""

    concession: Concession
    reason: Text | None = None
    reduction_bp: int | None = Field(default=None, ge=0, le=10_000)
    together_bp: int | None = Field(default=None, ge=0, le=20_000)
    reference: Money | None = None
    granted_as: GrantingRole | None = None
    authority_version: int = Field(ge=1)
