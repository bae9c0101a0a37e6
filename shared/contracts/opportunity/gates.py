"""Error-proofing rules as data, and the authority matrix (R5): stream `gate_book-default`; what they did: `opportunity-<id>`."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.contracts.event import Event
from shared.contracts.opportunity.conditions import Condition, Lacking, Wanted
from shared.contracts.opportunity.contract import CONTRACT, Code, EntityId, Names, Text
from shared.kit.money import Money

StageAct = Literal["stage_entered", "stage_completed", "stage_skipped"]
ConcessionKind = Literal["discount", "price", "payment_terms", "non_standard_promise"]
Act = Literal[
    "stage_entered",
    "stage_completed",
    "stage_skipped",
    "win",
    "discount",
    "price",
    "payment_terms",
    "non_standard_promise",
]
Mode = Literal["warn", "control", "stop"]
Approach = Literal["impossible", "replace", "simplify", "detect", "limit"]
Expect = Literal["passes", "fires"]
GrantingRole = Literal["seller", "manager", "executive", "finance", "operations", "integration"]
LONGEST_WAIVER_DAYS = 90  # unless the authority matrix says otherwise
Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$", examples=["price_for_terms"])]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Guard(Part):
    """What a gate stands before. `stages`: numbers or codes of selling stages, for acts on stages; none: every stage."""

    act: Act
    stages: tuple[Annotated[int, Field(ge=1, le=40)] | Code, ...] = Field(default=(), max_length=40)


class ProofCase(Part):
    """Facts, and what the gate must say of them. What is left out is not on record."""

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00]*\S[^\x00]*$")
    facts: dict[Code, Wanted] = Field(default_factory=dict, max_length=50)
    expect: Expect


class GateRule(Part):
    """`applies_when`: which cases it is about, all when absent; `requires`: what must hold in them, else the gate fires.

    Modes: `warn` lets pass and says so, `control` passes nobody without what is required or a waiver, `stop` passes nobody.
    Levels: 1 the wrong act is impossible, 2 it is noticed at once, 3 its result does not flow on. `approach`: how the rule was
    designed, in the order of preference. `message`: what is wrong and what would be right.
    """

    names: Names
    guards: tuple[Guard, ...] = Field(min_length=1, max_length=20)
    applies_when: Condition | None = None
    requires: Condition
    mode: Mode
    level: Literal[1, 2, 3] = 2
    approach: Approach = "detect"
    message: Names
    proofs: tuple[ProofCase, ...] = Field(default=(), max_length=50)


@CONTRACT.event("opportunity.gate_defined", stream="gate_book")
class GateDefined(Event):
    """A version of a gate: in force from `effective_from` until `effective_to`, a later version or a retirement."""

    key: Key
    version: int = Field(ge=1)
    rule: GateRule
    effective_from: AwareDatetime
    effective_to: AwareDatetime | None = None


@CONTRACT.event("opportunity.gate_retired", stream="gate_book")
class GateRetired(Event):
    """No version of the gate is in force from `effective_from` on, unless a later one is defined."""

    key: Key
    effective_from: AwareDatetime
    reason: Text


class GateProof(Part):
    """`failing`: the names of the cases that the rule decides otherwise than they expect."""

    gate: Key
    version: int = Field(ge=1)
    proofs: int = Field(ge=1)
    failing: tuple[str, ...] = ()


@CONTRACT.event("opportunity.gates_proved", stream="gate_proofs")
class GatesProved(Event):
    """Stream `gate_proofs-default`: the proofs of the gates in force were tried once more, as they are from time to time."""

    gates: tuple[GateProof, ...] = Field(min_length=1)


class Grant(Part):
    """What a role may concede. `most`: basis points of a discount or of a reduced price, days of payment; absent: without limit.
    `up_to`: the largest deal, per currency, for which it may; none: of any size and currency."""

    role: GrantingRole
    kind: ConcessionKind
    most: int | None = Field(default=None, ge=0, le=100_000)
    up_to: tuple[Money, ...] = Field(default=(), max_length=50)


@CONTRACT.event("opportunity.authority_defined", stream="gate_book")
class AuthorityDefined(Event):
    """A version of the authority matrix: who may grant what up to which amount. `standard_payment_days`: what needs nobody's word;
    a deal that is paid earlier has better terms. `longest_waiver_days`: how far ahead a waiver of a gate may end."""

    version: int = Field(ge=1)
    standard_payment_days: int = Field(ge=0, le=3_650)
    longest_waiver_days: int = Field(default=LONGEST_WAIVER_DAYS, ge=1, le=3_650)
    grants: tuple[Grant, ...] = Field(max_length=200)
    effective_from: AwareDatetime


class _Fired(Event):
    gate: Key
    gate_version: int = Field(ge=1)
    act: Act
    stage: int | None = Field(default=None, ge=1)
    lacking: tuple[Lacking, ...]


@CONTRACT.event("opportunity.gate_warned")
class GateWarned(_Fired):
    """The act passed, though the gate says that it should not have."""


@CONTRACT.event("opportunity.gate_passed_on_waiver")
class GatePassedOnWaiver(_Fired):
    """What the gate requires was lacking; a waiver let the act pass."""

    waiver_id: EntityId
    approved_by: str


@CONTRACT.event("opportunity.gate_stopped")
class GateStopped(_Fired):
    """The act was refused, and did not happen."""

    mode: Literal["control", "stop"]


@CONTRACT.event("opportunity.gate_waived")
class GateWaived(Event):
    """Until `expires_at` the gate lets this opportunity pass, on the word of `approved_by`."""

    waiver_id: EntityId
    gate: Key
    requested_by: str
    approved_by: str
    reason: Text
    expires_at: AwareDatetime
