"""Is the error-proofing any good: what each gate did, who let pass, how the sales concerned ended, whether it still fires (R5)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import RowMapping

from services.opportunity import gate_labels, labels
from services.opportunity.api.asking import Asking, AskingNow
from services.opportunity.api.cursors import after_of, page_after
from services.opportunity.api.firings import VERDICTS, EffectQuery, ReportQuery, Version, fired
from services.opportunity.api.gate_words import force_of
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import Coded, Totals, coded, totals_of
from services.opportunity.domain.gates.book import GateBook
from services.opportunity.domain.gates.rule import prove
from services.opportunity.queries import effectiveness as queries
from services.opportunity.queries.gates import proved, read_book
from services.opportunity.queries.waivers import Reader
from shared.contracts.opportunity import GateDefined
from shared.contracts.opportunity.gates import Key
from shared.web.auth import CallerNow
from shared.web.commanding import PROBLEMS
from shared.web.language import label
from shared.web.paging import Page

router = APIRouter(tags=["gates"], dependencies=[MAY_READ])


class Ended(BaseModel):
    """How the opportunities stand now. `drill`: the firings behind."""

    outcome: Coded
    totals: Totals
    drill: str


class Effect(BaseModel):
    """`firings` times for `opportunities`; an opportunity counts once among the outcomes."""

    verdict: Coded
    firings: int
    opportunities: int
    outcomes: list[Ended]
    drill: str


class WaivedBy(BaseModel):
    """`approved_by`: a login."""

    approved_by: str
    firings: int
    drill: str


class Asked(BaseModel):
    status: Coded
    count: int
    drill: str


class Effectiveness(BaseModel):
    """A version of a gate. `proofs` cases prove that it still fires where it should, and only there, last tried at `proved_at`;
    `failing_proofs` do not."""

    gate: str
    version: int
    label: str
    mode: Coded
    force: Coded
    effects: list[Effect]
    waived_by: list[WaivedBy]
    waivers: list[Asked]
    proofs: int
    proved_at: datetime | None
    failing_proofs: list[str]


class EffectivenessReport(Page[Effectiveness]):
    """By key of the gate, and version."""


@router.get("/gates/effectiveness", summary="What each gate did", operation_id="gate_effectiveness",
            responses=PROBLEMS)  # fmt: skip
async def effectiveness(ask: Annotated[ReportQuery, Query()], asking: AskingNow, who: CallerNow) -> EffectivenessReport:
    """Also versions that never fired: a gate that does nothing is one to look at. Over the opportunities one may see, and the
    waivers one may see."""
    question = ["effectiveness", ask.model_dump(mode="json", exclude={"cursor", "limit"})]
    after = after_of(question, ask.cursor, Key, Version)
    book = (await read_book(asking.connection)).book
    versions = [
        one
        for key in sorted(book.entries)
        for one in book.versions(key)
        if ask.gate in (None, key) and ask.gate_version in (None, one.version)
    ]
    rows, cursor = page_after(versions, ask.limit, question, lambda one: (one.key, one.version), after)
    asked = replace(fired(ask, asking), gates=tuple({one.key for one in rows}))
    found = _Found(
        await proved(asking.connection),
        await queries.counts(asking.connection, asking.scope, asked),
        await queries.outcomes(asking.connection, asking.scope, asked),
        await queries.waived_by(asking.connection, asking.scope, asked),
        await queries.asked_for(asking.connection, Reader(who.subject, asking.scope), asked, asking.now),
    )
    return EffectivenessReport(items=[_told(book, one, found, ask, asking) for one in rows], next_cursor=cursor)


class _Found:
    """Rows by gate and version."""

    def __init__(self, proved: Mapping[tuple[str, int], datetime], *answers: Sequence[RowMapping]) -> None:
        self.proved = proved
        self.counts, self.outcomes, self.waived_by, self.asked = map(_by_version, answers)


def _by_version(rows: Iterable[RowMapping]) -> dict[tuple[str, int], list[RowMapping]]:
    found: dict[tuple[str, int], list[RowMapping]] = defaultdict(list)
    for row in rows:
        found[row["gate"], row["gate_version"]].append(row)
    return found


def _told(book: GateBook, gate: GateDefined, found: _Found, ask: EffectQuery, asking: Asking) -> Effectiveness:
    key, language = (gate.key, gate.version), asking.language
    drill = _Drill(asking.root, gate, ask)
    counted = {row["verdict"]: row for row in found.counts[key]}
    return Effectiveness(
        gate=gate.key,
        version=gate.version,
        label=label(gate.rule.names, language, gate.key),
        mode=coded(gate_labels.MODES, gate.rule.mode, language),
        force=coded(gate_labels.FORCES, force_of(book, gate, asking.now), language),
        effects=[
            Effect(
                verdict=coded(gate_labels.VERDICTS, verdict, language),
                firings=counted[verdict]["firings"] if verdict in counted else 0,
                opportunities=counted[verdict]["opportunities"] if verdict in counted else 0,
                outcomes=_ended([row for row in found.outcomes[key] if row["verdict"] == verdict], drill, asking),
                drill=drill.firings(verdict=verdict),
            )
            for verdict in VERDICTS
        ],
        waived_by=[
            WaivedBy(
                approved_by=row["approved_by"],
                firings=row["firings"],
                drill=drill.firings(verdict="waived", approved_by=row["approved_by"]),
            )
            for row in found.waived_by[key]
        ],
        waivers=[
            Asked(
                status=coded(gate_labels.WAIVERS, row["status"], language),
                count=row["count"],
                drill=drill.waivers(row["status"]),
            )
            for row in found.asked[key]
        ],
        proofs=len(gate.rule.proofs),
        proved_at=found.proved.get(key),
        failing_proofs=[case.name for case in prove(gate.rule)],
    )


def _ended(rows: Sequence[RowMapping], drill: "_Drill", asking: Asking) -> list[Ended]:
    by_outcome: dict[str, list[RowMapping]] = defaultdict(list)
    for row in rows:
        by_outcome[row["outcome"]].append(row)
    return [
        Ended(
            outcome=coded(labels.OUTCOMES, outcome, asking.language),
            totals=totals_of(those),
            drill=drill.firings(verdict=those[0]["verdict"], outcome=outcome),
        )
        for outcome, those in sorted(by_outcome.items())
    ]


class _Drill:
    """Links to the rows behind the figures of one version."""

    def __init__(self, root: str, gate: GateDefined, ask: EffectQuery) -> None:
        self._root = root
        said = ask.model_dump(mode="json", by_alias=True, exclude_none=True, include={"first_day", "last_day"})
        self._version = {"gate": gate.key, "gate_version": gate.version} | said

    def firings(self, **chosen: Any) -> str:
        return f"{self._root}/gates/firings?{urlencode(self._version | chosen)}"

    def waivers(self, status: str) -> str:
        return f"{self._root}/waivers?{urlencode(self._version | {'status': status})}"
