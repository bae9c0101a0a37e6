"""One door to all decisions about an opportunity that exists."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from services.opportunity.domain.assessment import effort, scoring
from services.opportunity.domain.assessment.model import AssessmentModel
from services.opportunity.domain.forecast.category import Forecast, decide_forecast
from services.opportunity.domain.gates.evaluate import Gates, gated
from services.opportunity.domain.opportunity import concessions, files, outcome, progress, terms
from services.opportunity.domain.opportunity.stages import check_evidence
from services.opportunity.domain.opportunity.state import OpportunityState, late
from services.opportunity.domain.process import SalesProcess
from shared.contracts.event import Event
from shared.contracts.refusal import RefusedError, refuse
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import Money

ProgressCommand = (
    progress.ReachMilestone
    | progress.GiveCommitment
    | progress.RetractMilestone
    | progress.RetractCommitment
    | progress.SkipStage
    | progress.RegressStage
    | progress.ObserveBuyingStage
    | progress.DecideRisk
    | progress.AssertProgress
)
TermsCommand = (
    terms.ChangeAmount
    | terms.ChangeCloseDate
    | terms.AgreeLineItems
    | terms.AssignOwner
    | terms.AssignTeam
    | terms.AssignAccount
    | terms.Rename
    | terms.Comment
    | terms.Flag
)
OutcomeCommand = outcome.Win | outcome.Lose | outcome.Abandon | outcome.Pause | outcome.Resume | outcome.Reopen
AssessmentCommand = scoring.Assess | effort.SpendEffort
Change = Annotated[
    ProgressCommand | TermsCommand | OutcomeCommand | AssessmentCommand | concessions.GrantConcessions | Forecast,
    Field(discriminator="action"),
]

# What may still be said about an opportunity that has ended: who looks after the record, and what we learned.
_ALWAYS = (
    terms.Comment, terms.Flag, terms.AssignOwner, terms.AssignTeam, terms.AssignAccount, effort.SpendEffort, files.AttachFile,
    outcome.Reopen,
)  # fmt: skip
_WHILE_PAUSED = (
    *_ALWAYS,
    *TermsCommand.__args__,
    scoring.Assess,
    Forecast,
    outcome.Resume,
    outcome.Lose,
    outcome.Abandon,
)
_IN_ORDER = (*ProgressCommand.__args__, *OutcomeCommand.__args__)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on beside the state: the opportunity's process, who decides in which `roles`, the business time
    `now`, what the `clock` says, and by which `calendar` days are counted. `gates`: the rules in force; None: nobody is held to
    them. `model`: the latest assessment model, for commands that score."""

    process: SalesProcess
    now: datetime
    actor: str
    clock: datetime
    roles: frozenset[str] = frozenset()
    gates: Gates | None = None
    model: AssessmentModel | None = None
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)


def decide(state: OpportunityState, command: Any, given: Circumstances) -> Sequence[Event]:
    """The events that follow from a command; empty: nothing to do. Raises RefusedError with what would be right.

    What is asserted of a deal that was brought in happened elsewhere: no gate stood before it.
    """
    events = _decided(state, command, given)
    if given.gates is None or (isinstance(command, progress.AssertProgress) and brought_in(state)):
        return events
    return gated(state, events, given.process, given.gates, given.now)


def brought_in(state: OpportunityState) -> bool:
    """Does another system know it, and has nobody shown here yet how it came to where it stands?"""
    shown = (evidence.kind for evidence in state.evidence.values())
    return bool(state.external_ids) and not state.skipped and all(kind == "asserted_at_migration" for kind in shown)


def _decided(state: OpportunityState, command: Any, given: Circumstances) -> Sequence[Event]:
    if refusal := blocked(state, type(command)) or untimely(state, type(command), given.now):
        raise refusal
    check_evidence(getattr(command, "evidence", None), given.clock)
    files.check_files(state, getattr(command, "evidence", None))
    process, now, actor = given.process, given.now, given.actor
    match command:
        case progress.ReachMilestone():
            return progress.decide_milestone(state, command, process, now, actor)
        case progress.GiveCommitment():
            return progress.decide_commitment(state, command, process, now, actor)
        case progress.RetractMilestone():
            return progress.decide_retract_milestone(state, command, process)
        case progress.RetractCommitment():
            return progress.decide_retract_commitment(state, command, process)
        case progress.SkipStage():
            return progress.decide_skip(state, command, process)
        case progress.RegressStage():
            return progress.decide_regress(state, command, process)
        case progress.ObserveBuyingStage():
            return progress.decide_buying_stage(state, command, process, now, actor)
        case progress.DecideRisk():
            return progress.decide_risk(state, command, process)
        case progress.AssertProgress():
            return progress.decide_assert_progress(state, command, process, now, actor)
        case concessions.GrantConcessions():
            return concessions.decide_concessions(state, command, _granting(given), now)
        case Forecast():
            return decide_forecast(state, command, now, actor, given.roles)
        case outcome.Win():
            won = outcome.decide_win(state, command, process, now, actor)
            return [*_lowered(state, command.amount or state.amount, given), *won]
        case terms.ChangeAmount():
            changed = terms.decide_amount(state, command, now)
            # Until a price is offered an amount is an estimate; what is said of an earlier time changes nothing now.
            asks = changed and concessions.offered(state) and not late(state, "amount", now)
            return [*changed, *(_lowered(state, command.amount, given) if asks else ())]
        case outcome.Reopen():
            return outcome.decide_reopen(state, command, process)
        case scoring.Assess():
            return scoring.decide_assess(state, command, _model(given), now)
    rule = _PLAIN.get(type(command))
    if rule is None:
        raise TypeError(f"{type(command).__name__} is no command on an opportunity")
    events: Sequence[Event] = rule(state, command, now)
    return events


_PLAIN: dict[type[Any], Any] = {
    terms.ChangeCloseDate: terms.decide_close_date,
    terms.AgreeLineItems: terms.decide_line_items,
    terms.AssignOwner: terms.decide_owner,
    terms.AssignTeam: terms.decide_team,
    terms.AssignAccount: terms.decide_account,
    terms.Rename: terms.decide_rename,
    terms.Comment: terms.decide_comment,
    terms.Flag: terms.decide_flags,
    outcome.Lose: outcome.decide_lose,
    outcome.Abandon: outcome.decide_abandon,
    outcome.Pause: outcome.decide_pause,
    outcome.Resume: outcome.decide_resume,
    effort.SpendEffort: effort.decide_effort,
    files.AttachFile: files.decide_file,
}


def _granting(given: Circumstances) -> concessions.Granting:
    authority = None if given.gates is None else given.gates.book.authority(given.gates.now)
    return concessions.Granting(authority, given.roles)


def _lowered(state: OpportunityState, amount: Money | None, given: Circumstances) -> Sequence[Event]:
    """What happened elsewhere was granted there."""
    return [] if given.gates is None else concessions.decide_lowered(state, amount, _granting(given))


def _model(given: Circumstances) -> AssessmentModel:
    if given.model is None:
        raise refuse("no_model", "nobody has defined an assessment model", expected="POST /assessment-model first")
    return given.model


def blocked(state: OpportunityState, command: type[Any]) -> RefusedError | None:
    """Why a kind of command is out of question in this state, or None."""
    if not state.exists:
        return refuse("not_found", "there is no such opportunity", kind="missing")
    if state.closed and command not in _ALWAYS:
        return refuse(f"already_{state.outcome}", f"the opportunity is {state.outcome}", expected="reopen it first")
    if state.outcome == "paused" and command not in _WHILE_PAUSED:
        return refuse("paused", "the opportunity is paused", expected="resume it first")
    return None


def earliest(state: OpportunityState, command: type[Any]) -> datetime:
    """The first business time that this kind of command may carry.

    A step through the processes and an outcome rest on those before, so they follow each other in business time too; when
    something was really done belongs into its evidence. A term may be corrected for any time since the opening.
    """
    if command not in _IN_ORDER:
        return state.opened_at
    moved = max(state.opened_at, state.moved_at)
    # The amount won is the last word on the amount.
    return max(moved, state.since.get("amount", moved)) if command is outcome.Win else moved


def untimely(state: OpportunityState, command: type[Any], at: datetime) -> RefusedError | None:
    """Why a kind of command cannot have been so at this moment, or None."""
    first = earliest(state, command)
    if at >= first:
        return None
    code, what = (
        ("before_opening", "the opportunity was opened")
        if first == state.opened_at
        else ("out_of_order", "what it rests on is on record")
    )
    return refuse(
        code,
        f"{at.isoformat()} lies before {first.isoformat()}, for when {what}",
        field="occurred_at",
        expected=f"{first.isoformat()} or later; the evidence can say when something was really done",
        kind="input",
    )
