"""Gates told in words: their versions, what they say of an act, what is lacking; in the caller's language."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from services.opportunity import gate_labels
from services.opportunity.api.rows import Coded, coded
from services.opportunity.domain.gates.book import GateBook
from services.opportunity.domain.gates.evaluate import GateRefusedError, Ruling
from services.opportunity.domain.gates.rule import prove
from services.opportunity.labels import word
from shared.contracts.opportunity import GateDefined, GateRetired, GateRule, Lacking
from shared.contracts.refusal import Reason
from shared.web.language import Language, label

Force = Literal["in_force", "coming", "ended"]


class LackingTold(BaseModel):
    """What a gate wants and does not find. `found`: null when it is not on record, or in another currency."""

    fact: Coded
    test: Coded
    wanted: str | None
    found: str | None


class GateSays(BaseModel):
    """What a gate would say of an act now. `message`: what is wrong; `waiver`: where to ask for leave, if that helps."""

    gate: str
    version: int
    label: str
    act: Coded
    stage: int | None
    mode: Coded
    verdict: Coded
    message: str | None
    lacking: list[LackingTold]
    waived_until: datetime | None
    waiver: str | None


class GateVersion(BaseModel):
    """`force`: whether it binds now. `failing_proofs`: cases that the rule should decide otherwise; none, unless facts came to
    mean something else since it was defined."""

    version: int
    label: str
    message: str
    force: Coded
    mode: Coded
    level: int
    approach: Coded
    rule: GateRule
    effective_from: datetime
    effective_to: datetime | None
    defined_by: str
    defined_at: datetime
    failing_proofs: list[str]


class Retirement(BaseModel):
    effective_from: datetime
    reason: str
    retired_by: str
    retired_at: datetime


class GateDetail(BaseModel):
    """`in_force`: the version that binds now; null: none does. `latest`: that version, or else the last one. So many `versions` and
    `retirements` are listed at `versions_drill` and `retirements_drill`."""

    key: str
    label: str
    in_force: int | None
    latest: GateVersion
    versions: int
    versions_drill: str
    retirements: int
    retirements_drill: str


class GateItem(BaseModel):
    """The version in force, or else the last one."""

    key: str
    in_force: bool
    latest: GateVersion


def lacking_told(lacking: Lacking, language: Language) -> LackingTold:
    return LackingTold(
        fact=coded(gate_labels.FACT_NAMES, lacking.fact, language),
        test=coded(gate_labels.TESTS, lacking.test, language),
        wanted=lacking.wanted,
        found=lacking.found,
    )


def says(ruling: Ruling, language: Language, root: str) -> GateSays:
    rule, fires = ruling.gate.rule, ruling.verdict != "passes"
    waivable = ruling.verdict == "refused" and rule.mode == "control"
    return GateSays(
        gate=ruling.gate.key,
        version=ruling.gate.version,
        label=label(rule.names, language, ruling.gate.key),
        act=coded(gate_labels.ACTS, ruling.act.act, language),
        stage=ruling.act.stage,
        mode=coded(gate_labels.MODES, rule.mode, language),
        verdict=coded(gate_labels.VERDICTS, ruling.verdict, language),
        message=label(rule.message, language) if fires else None,
        lacking=[lacking_told(one, language) for one in ruling.lacking],
        waived_until=None if ruling.waiver is None else ruling.waiver.expires_at,
        waiver=f"{root}/waivers" if waivable else None,
    )


def refusal_told(refusal: GateRefusedError, language: Language) -> GateRefusedError:
    """The same refusal; in English it says so itself."""
    if language == "en":
        return refusal
    return GateRefusedError(refusal.rulings, tuple(map(_reason_zh, refusal.rulings)))


def _reason_zh(one: Ruling) -> Reason:
    gate, rule = one.gate, one.gate.rule
    stage = f"（第 {one.act.stage} 阶段）" if one.act.stage else ""
    what = word(gate_labels.ACTS, one.act.act, "zh") + stage
    lacks = "；".join(_found_zh(lack) for lack in one.lacking)
    right = "；".join(_wanted_zh(lack) for lack in one.lacking)
    message = f"{label(rule.message, 'zh', gate.key)}（防错规则 {gate.key} 第 {gate.version} 版，{what}：{lacks}）"
    if rule.mode == "stop":
        return Reason("gate_stop", message, gate.key, f"{right}；否则任何人不得通过")
    waiver = f'由他人批准的豁免：POST /waivers，"gate": "{gate.key}"'
    return Reason("gate_control", message, gate.key, f"{right}；或{waiver}")


def _found_zh(lack: Lacking) -> str:
    name = fact_label(lack.fact, "zh")
    return f"{name}未登记" if lack.found is None else f"{name}为 {lack.found}"


def _wanted_zh(lack: Lacking) -> str:
    test = fact_label(lack.fact, "zh") + word(gate_labels.TESTS, lack.test, "zh")
    return test if lack.wanted is None else f"{test} {lack.wanted}"


def force_of(book: GateBook, gate: GateDefined, now: datetime) -> Force:
    current = book.in_force(gate.key, now)
    if current is not None and current.version == gate.version:
        return "in_force"
    return "coming" if gate.effective_from > now else "ended"


def version_told(
    book: GateBook, gate: GateDefined, by: str, at: datetime, now: datetime, language: Language
) -> GateVersion:
    rule = gate.rule
    return GateVersion(
        version=gate.version,
        label=label(rule.names, language, gate.key),
        message=label(rule.message, language),
        force=coded(gate_labels.FORCES, force_of(book, gate, now), language),
        mode=coded(gate_labels.MODES, rule.mode, language),
        level=rule.level,
        approach=coded(gate_labels.APPROACHES, rule.approach, language),
        rule=rule,
        effective_from=gate.effective_from,
        effective_to=gate.effective_to,
        defined_by=by,
        defined_at=at,
        failing_proofs=[case.name for case in prove(rule)],
    )


def retirement_told(word_: GateRetired, by: str, at: datetime) -> Retirement:
    return Retirement(effective_from=word_.effective_from, reason=word_.reason, retired_by=by, retired_at=at)


def fact_label(code: str, language: Language) -> str:
    return word(gate_labels.FACT_NAMES, code, language)
