"""What the invented company reckons with: rates of exchange, and what is to be won by whom in this quarter and the last one."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from random import Random

from services.demo.company import Company, Currency
from services.demo.telling import Ids
from services.opportunity.domain.forecast.targets import SetTarget
from services.opportunity.domain.rates import QuoteRate, decide_quote
from services.opportunity.entities import EXCHANGE_RATE
from services.opportunity.forecasting import set_target
from shared.contracts.opportunity import HolderKind
from shared.eventstore.commands import Decide, Work
from shared.eventstore.types import JsonObject
from shared.kit.calendar import BusinessCalendar, Period
from shared.kit.money import Money

SOURCE = "invented, first of the month"
MORNING = timedelta(hours=9)
PEOPLE: Mapping[str, int] = {  # thousands of a quarter; dollars in the international team
    "wang.fang": 900, "li.qiang": 800, "liu.yang": 600, "sun.mei": 1000, "lin.xiao": 500, "gao.yuan": 700, "he.jun": 800,
    "ingrid.moe": 120, "daniel.roth": 100,
}  # fmt: skip
TEAM, TEAM_ASKED = "power", 2200
COMPANY_ASKED: Mapping[Currency, int] = {"CNY": 5000, "USD": 200}
NOTE = "区总与组员逐个谈定"


def quoting(calendar: BusinessCalendar, since: date, today: date) -> Decide:
    """A dollar in yuan on the first of each month after `since`, up to yesterday."""

    async def decide(work: Work) -> JsonObject:
        for month in calendar.periods(calendar.start_of_day(since), calendar.start_of_day(today), "month")[1:]:
            day = month.first_day
            rate = f"{7.1 + Random(f'USD-CNY {day}').uniform(-0.12, 0.12):.4f}"  # noqa: S311 - a story, no secret
            quote = QuoteRate(
                from_currency="USD",
                to_currency="CNY",
                day=day,
                rate=rate,
                source=SOURCE,
                occurred_at=month.start + MORNING,
            )
            state = (await work.state(EXCHANGE_RATE, quote.stream)).state
            work.append(EXCHANGE_RATE, quote.stream, *decide_quote(state, quote), occurred_at=quote.occurred_at)
        return {}

    return decide


def asking(company: Company, ids: Ids, calendar: BusinessCalendar, quarters: tuple[Period, ...]) -> Decide:
    """Targets of people, of a team and of the company, each set on the morning before its quarter begins."""

    async def decide(work: Work) -> JsonObject:
        for quarter in quarters:
            at = calendar.start_of_day(quarter.first_day - timedelta(days=1)) + MORNING
            for key, thousands in PEOPLE.items():
                abroad = company.team_of(key, 0) == "world"
                target = _target("person", ids.people[key], quarter, at, thousands, "USD" if abroad else "CNY")
                await set_target(work, target, calendar)
            team = _target("team", ids.teams[TEAM], quarter, at, TEAM_ASKED, "CNY", NOTE)
            whole = [_target("company", None, quarter, at, asked, money) for money, asked in COMPANY_ASKED.items()]
            for target in (team, *whole):
                await set_target(work, target, calendar)
        return {}

    return decide


def _target(
    kind: HolderKind,
    holder: str | None,
    quarter: Period,
    at: datetime,
    thousands: int,
    currency: Currency,
    note: str | None = None,
) -> SetTarget:
    amount = Money(minor=thousands * 1000 * 100, currency=currency)
    return SetTarget(holder_kind=kind, holder_id=holder, period=quarter.label, amount=amount, note=note, occurred_at=at)
