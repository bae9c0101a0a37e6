"""What can be done with an opportunity over HTTP, a row each: path, command, summary, an example of the body."""

from dataclasses import dataclass
from typing import Any

from services.opportunity.domain.assessment import effort, scoring
from services.opportunity.domain.assessment.model import DEFAULT_MODEL
from services.opportunity.domain.commands import Command
from services.opportunity.domain.forecast import category
from services.opportunity.domain.opportunity import concessions, outcome, progress, terms

_EVIDENCE = {"kind": "note", "note": "Visit report of 12 March: three departments present"}
_UUID = "0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"
_SCORES = {factor.code: 2 for factor in DEFAULT_MODEL.factors}
_CNY = {"minor": 125_000_00, "currency": "CNY"}


@dataclass(frozen=True, slots=True)
class Step:
    """`POST /opportunities/{opportunity_id}/<path>` with the command as its body. `code`: the command's field that stands in
    the path instead."""

    path: str
    command: type[Command]
    summary: str
    example: dict[str, Any]
    code: str | None = None

    @property
    def operation(self) -> str:
        """Also the name by which the page of an opportunity lists the action."""
        return str(self.command.model_fields["action"].default)


STEPS = (
    Step(
        "milestones", progress.ReachMilestone, "Evidence a milestone",
        {"milestone": "information_gathered", "evidence": _EVIDENCE},
    ),
    Step(
        "milestones/{milestone}/retraction", progress.RetractMilestone, "Take back a milestone",
        {"stage": 1, "reason": "The report was about another plant"}, code="milestone",
    ),
    Step(
        "commitments", progress.GiveCommitment, "Evidence a commitment of the customer",
        {"criterion": "meeting_agreed", "evidence": _EVIDENCE},
    ),
    Step(
        "commitments/{criterion}/retraction", progress.RetractCommitment, "Take back a commitment of the customer",
        {"stage": 1, "reason": "The customer called it off"}, code="criterion",
    ),
    Step(
        "buying-stage", progress.ObserveBuyingStage, "Observe where the customer stands in its own process",
        {"stage": 3, "evidence": _EVIDENCE},
    ),
    Step(
        "skips", progress.SkipStage, "Skip the working stage, with a reason",
        {"stage": 1, "reason": "A framework agreement is in force"},
    ),
    Step(
        "regressions", progress.RegressStage, "Go back",
        {"to_completed": 0, "reason": "The project was stopped and begins again"},
    ),
    Step(
        "progress", progress.AssertProgress, "Assert stages that lie behind a deal brought in from elsewhere",
        {"completed_stage": 2, "note": "Stood at this stage in the former system"},
    ),
    Step(
        "risk-decision", progress.DecideRisk, "Decide to catch up or to give up",
        {"decision": "catch_up", "reason": "Two engineers join the bid"},
    ),
    Step("amount", terms.ChangeAmount, "Change the amount", {"amount": _CNY}),
    Step("close-date", terms.ChangeCloseDate, "Change the expected close date", {"close_date": "2026-09-30"}),
    Step(
        "line-items", terms.AgreeLineItems, "Agree the product lines, all of them",
        {"line_items": [{"product_id": _UUID, "quantity": 2, "unit_price": _CNY}]},
    ),
    Step("owner", terms.AssignOwner, "Hand it to another owner, or to nobody", {"owner_id": _UUID}),
    Step("team", terms.AssignTeam, "Hand it to another team, or to none", {"team_id": _UUID}),
    Step("account", terms.AssignAccount, "Say whose need it is", {"account_id": _UUID}),
    Step("name", terms.Rename, "Rename it", {"name": "Bottling line 3 · 灌装三线"}),
    Step("comments", terms.Comment, "Comment on it", {"text": "They ask for a second visit · 客户要求再次拜访"}),
    Step("flags", terms.Flag, "Say what is doubtful about it, complete", {"flags": ["amount_unlikely"]}),
    Step(
        "assessment", scoring.Assess, "Assess it: a score for every factor, and what is made of a poor total",
        {"scores": _SCORES, "decision": "lower_effort", "reason": "A rival wrote the specification"},
    ),
    Step("effort", effort.SpendEffort, "Say what was spent on it", {"visits": 1, "minutes": 90}),
    Step(
        "forecast", category.Forecast, "Say what may be counted on; a manager's judgement beside",
        {"category": "best_case", "judgement": {"amount": _CNY, "close_date": "2026-12-15", "note": "They will haggle"}},
    ),
    Step(
        "concessions", concessions.GrantConcessions, "Concede something to the customer, within one's authority",
        {
            "concessions": [{"kind": "discount", "discount_bp": 300}, {"kind": "payment_terms", "payment_days": 0}],
            "reason": "They pay before delivery",
        },
    ),
    Step("pause", outcome.Pause, "Pause it", {"reason": "The budget is frozen until autumn"}),
    Step("resume", outcome.Resume, "Resume it", {}),
    Step("win", outcome.Win, "Win it", {"amount": _CNY, "evidence": _EVIDENCE}),
    Step(
        "lose", outcome.Lose, "Lose it",
        {"reason": "Price", "competitor": "Rival Systems", "price": {"minor": 110_000_00, "currency": "CNY"}},
    ),
    Step("abandon", outcome.Abandon, "Give it up", {"reason": "Too small for what it asks"}),
    Step("reopen", outcome.Reopen, "Reopen an ended one", {"reason": "The other supplier withdrew"}),
)  # fmt: skip
