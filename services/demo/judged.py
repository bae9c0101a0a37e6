"""How the invented company judged its deals lately: what they scored, what was made of poor ones, and where the effort went."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.demo.gates import DAY, Run
from services.demo.stories import stories
from services.opportunity.commands import anyone, change, claim_id
from services.opportunity.domain.anomalies.limits import DEFAULT_LIMITS, DEFAULT_LIMITS_KEY
from services.opportunity.domain.assessment.effort import SpendEffort
from services.opportunity.domain.assessment.model import DEFAULT_MODEL, DEFAULT_MODEL_KEY
from services.opportunity.domain.assessment.scoring import Assess
from services.opportunity.entities import ANOMALY_LIMITS, ASSESSMENT_MODEL, CLAIM
from services.opportunity.judging import define_limits, define_model
from shared.eventstore.commands import Decide, Work
from shared.eventstore.types import JsonObject

FACTORS = tuple(factor.code for factor in DEFAULT_MODEL.factors)
ASSESSED: Mapping[str, Assess] = {
    "dairy-line-4": Assess(scores=dict(zip(FACTORS, (5, 5, 4, 5, 4, 4, 3, 4, 4), strict=True))),
    "jb-monitor-3": Assess(scores=dict(zip(FACTORS, (4, 4, 4, 5, 5, 3, 3, 4, 3), strict=True))),
    "bev-pet": Assess(
        scores=dict(zip(FACTORS, (2, 1, 3, 2, 3, 2, 2, 2, 2), strict=True)),
        decision="lower_effort",
        reason="采购科两次说再等等，预算没有着落",
    ),
    "bl-digital": Assess(
        scores=dict(zip(FACTORS, (4, 1, 2, 2, 3, 2, 1, 2, 3), strict=True)),
        decision="pursue",
        reason="两年规划里最大的一单，总工还愿意听",
    ),
}
SPENT: Mapping[str, tuple[int, int]] = {  # visits, hours: more than they deserve goes to deals that stand still
    "bl-digital": (6, 22),
    "bev-pet": (4, 9),
    "dairy-line-4": (3, 12),
    "jb-monitor-3": (2, 7),
    "yh-data": (2, 5),
}


async def define_judging(work: Work) -> JsonObject:
    """The default model and limits, where there are none yet."""
    if not (await work.state(ASSESSMENT_MODEL, DEFAULT_MODEL_KEY)).exists:
        await define_model(work, DEFAULT_MODEL_KEY, DEFAULT_MODEL)
    if not (await work.state(ANOMALY_LIMITS, DEFAULT_LIMITS_KEY)).exists:
        await define_limits(work, DEFAULT_LIMITS_KEY, DEFAULT_LIMITS)
    return {}


async def tell_judgements(run: Run, system: str, midnight: datetime) -> None:
    """In the evening before `midnight`, on stories that go on. By the default model: another one may refuse the scores."""
    owners = {story.key: story.owner for story in stories()}
    for story, scores in ASSESSED.items():
        await run(f"judged/{story}", owners[story], midnight - DAY + timedelta(hours=17), _doing(system, story, scores))
    for story, (visits, hours) in SPENT.items():
        spent = SpendEffort(visits=visits, minutes=60 * hours)
        await run(f"spent/{story}", owners[story], midnight - DAY + timedelta(hours=18), _doing(system, story, spent))


def _doing(system: str, story: str, command: Assess | SpendEffort) -> Decide:
    async def decide(work: Work) -> JsonObject:
        claim = (await work.state(CLAIM, claim_id(system, story))).state
        return await change(work, str(claim.opportunity_id), [command], anyone)

    return decide
