"""The list of opportunities as a file: what a row says, a column each."""

from collections.abc import AsyncIterator, Sequence

from services.opportunity import forecast_labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.rows import OpportunityRow, row_maker
from services.opportunity.labels import GROUPS, word
from services.opportunity.pipeline_labels import HEADS
from services.opportunity.queries.listing import Order, in_chunks
from services.opportunity.queries.view import View
from shared.web.export import Column, whole_units

AT_ONCE = 500  # rows that are made together: others wait for no more


async def all_rows(asking: Asking, view: View, order: Order) -> AsyncIterator[Sequence[OpportunityRow]]:
    """Chunk after chunk, of one moment."""
    async for found in in_chunks(asking.connection, view, order, AT_ONCE):
        maker = await row_maker(asking, found, view.as_of)
        yield [maker.row(row) for row in found]


def columns(asking: Asking) -> list[Column[OpportunityRow]]:
    def head(code: str) -> str:
        return word(HEADS, code, asking.language)

    def group(code: str) -> str:
        return word(GROUPS, code, asking.language)

    return [
        Column(head("id"), lambda row: row.id),
        Column(head("name"), lambda row: row.name),
        Column(group("account"), lambda row: row.account.name if row.account else None),
        Column(group("owner"), lambda row: row.owner.name if row.owner else None),
        Column(group("team"), lambda row: row.team.name if row.team else None),
        Column(group("process"), lambda row: row.process.label),
        Column(head("stage_number"), lambda row: row.stage.number),
        Column(group("stage"), lambda row: row.stage.label),
        Column(head("buying_stage"), lambda row: row.buying_stage.label),
        Column(group("synchrony"), lambda row: row.synchrony.label),
        Column(group("state"), lambda row: row.funnel_state.label),
        Column(head("probability_low"), lambda row: row.probability_low),
        Column(head("probability_high"), lambda row: row.probability_high),
        Column(head("amount"), lambda row: whole_units(row.amount.minor, row.amount.currency) if row.amount else None),
        Column(head("currency"), lambda row: row.amount.currency if row.amount else None),
        Column(head("close_date"), lambda row: row.close_date),
        Column(
            word(forecast_labels.HEADS, "forecast", asking.language),
            lambda row: row.forecast.label if row.forecast else None,
        ),
        Column(group("outcome"), lambda row: row.outcome.label),
        Column(head("reason"), lambda row: row.reason),
        Column(head("competitor"), lambda row: row.competitor),
        Column(head("flags"), lambda row: ", ".join(flag.label for flag in row.flags)),
        Column(head("opened_at"), lambda row: row.opened_at),
        Column(head("updated_at"), lambda row: row.updated_at),
        Column(head("age_days"), lambda row: row.age_days),
        Column(head("days_in_stage"), lambda row: row.days_in_stage),
    ]
