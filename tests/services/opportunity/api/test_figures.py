"""Figures and the lists behind them: every link shows exactly what was counted."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from tests.services.opportunity.api.house import NOTE, House, done, got

Busy = tuple[httpx.AsyncClient, str]
CNY, USD = {"minor": 100_00, "currency": "CNY"}, {"minor": 70_00, "currency": "USD"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def busy(house: House) -> AsyncIterator[Busy]:
    """A client, and an account that only these tests read."""
    async with house.client() as client:
        yield client, await busy_account(house, client)


async def busy_account(house: House, client: httpx.AsyncClient) -> str:
    """Seven opportunities: two open, one far, one paused, one won, one lost, one abandoned; in 2017."""
    account = await house.account("Busy")
    below = await house.account("Busy branch", parent=account)
    client.headers["Keyfold-Position"] = house.position
    ids = house.ids
    at = "2017-03-01T10:00:00+08:00"
    fields: list[dict[str, Any]] = [
        {"owner_id": ids["ann"], "amount": CNY},
        {"owner_id": ids["bob"], "amount": USD, "team_id": ids["shanghai"]},
        {"owner_id": ids["ann"], "amount": CNY},
        {"owner_id": ids["olga"]},
        {"owner_id": ids["ann"], "amount": CNY, "account_id": below},
        {"amount": USD},
        {"owner_id": ids["bob"], "amount": CNY},
    ]
    made = [await house.opened(client, **{"account_id": account, "occurred_at": at, **one}) for one in fields]

    async def act(index: int, path: str, day: int, **body: Any) -> None:
        await done(
            client, f"/opportunities/{made[index]}/{path}", {**body, "occurred_at": f"2017-04-{day:02}T00:00:00Z"}
        )

    await act(2, "progress", 3, completed_stage=5, note="From elsewhere")
    await act(3, "pause", 4, reason="Frozen")
    await act(4, "progress", 5, completed_stage=8, note="From elsewhere")
    await act(4, "win", 6, evidence=NOTE)
    await act(5, "skips", 6, stage=1, reason="Known")
    await act(5, "lose", 7, reason="Price", competitor="Rival")
    await act(6, "abandon", 8, reason="Too small")
    return account


def figures(answer: Any) -> Iterator[tuple[int, str]]:
    """Every count in an answer with its link."""
    if isinstance(answer, list):
        for one in answer:
            yield from figures(one)
    elif isinstance(answer, dict):
        if "drill" in answer:
            yield answer["count"] if "count" in answer else answer["totals"]["count"], answer["drill"]
        for one in answer.values():
            yield from figures(one)


@pytest.mark.parametrize(
    "question",
    [
        "/board?",
        "/board?group_by=owner&",
        "/board?group_by=state&decision_due=false&synchrony=in_sync&",
        "/funnel?stage=prospecting&",
        "/board?group_by=state&cards=0&",
        "/board?outcome=won&outcome=lost&",
        "/board?as_of=2017-04-03&",
        "/funnel?",
        "/funnel?group_by=stage&group_by=owner&",
        "/funnel?group_by=outcome&group_by=account&",
        "/funnel?group_by=team&as_of=2017-04-05&belonging=now&",
        "/funnel?group_by=process&q=line&",
        "/funnel/conversion?period=2017-Q1&",
        "/funnel/conversion?from=2017-03-01&to=2017-04-30&as_of=2017-05-01&",
        "/funnel/conversion?period=FY2017&belonging=now&",
        "/funnel/time-in-stage?",
        "/funnel/time-in-stage?as_of=2017-04-05&",
        "/funnel/leakage?period=2017-Q2&",
        "/funnel/leakage?period=2017-Q2&by=state&",
    ],
)
async def test_a_link_lists_exactly_what_was_counted(busy: Busy, question: str) -> None:
    client, account = busy
    answer = await got(client, f"{question}account={account}")
    found = list(figures(answer))
    assert sum(count for count, _ in found) > 0
    for count, drill in found:
        listed = await got(client, drill)
        assert listed["totals"]["count"] == count, drill
        assert len(listed["items"]) == count


async def test_the_board_shows_all_columns_with_first_cards(busy: Busy) -> None:
    client, account = busy
    board = await got(client, "/board", account=account, cards=1)
    assert [column["group"]["value"] for column in board["columns"]] == list(range(1, 9))
    assert [column["totals"]["count"] for column in board["columns"]] == [3, 0, 0, 0, 0, 1, 0, 0]
    assert [len(column["cards"]) for column in board["columns"]] == [1, 0, 0, 0, 0, 1, 0, 0]
    assert board["totals"] == {
        "count": 4,
        "sums": [{"currency": "CNY", "minor": 200_00, "count": 2}, {"currency": "USD", "minor": 70_00, "count": 1}],
    }


async def test_the_funnel_counts_what_is_open_unless_asked_by_outcome(busy: Busy) -> None:
    client, account = busy
    standing = await got(client, "/funnel", account=account)
    outcomes = await got(client, "/funnel", account=account, group_by="outcome")
    assert {one["groups"]["state"]["value"]: one["count"] for one in standing["figures"]} == {"searching": 3, "best": 1}
    assert {one["groups"]["outcome"]["value"]: one["count"] for one in outcomes["figures"]} == {
        "open": 3,
        "paused": 1,
        "won": 1,
        "lost": 1,
        "abandoned": 1,
    }
    best = next(one for one in standing["figures"] if one["groups"]["state"]["value"] == "best")
    assert [(worth["currency"], worth["minor"], worth["weighted_minor"]) for worth in best["worth"]] == [
        ("CNY", 100_00, 50_00)
    ]


async def test_conversion_leakage_and_velocity_name_their_period(busy: Busy) -> None:
    client, account = busy
    conversion = await got(client, "/funnel/conversion", account=account, period="2017-Q1")
    leakage = await got(client, "/funnel/leakage", account=account, period="2017-Q2")
    velocity = await got(client, "/funnel/velocity", account=account, period="2017-Q2")
    required = await got(
        client, "/funnel/required", account=account, period="2017-Q1", target_minor=300_00, target_currency="CNY"
    )
    first = conversion["stages"][0]
    assert (first["place"]["value"], first["entered"]["count"], first["won"]["count"]) == (1, 7, 1)
    assert conversion["period"]["start"].startswith("2016-12-31T16:00")
    assert {(one["outcome"], one["reason"], one["competitor"], one["minor"]) for one in leakage["items"]} == {
        ("lost", "Price", "Rival", 70_00),
        ("abandoned", "Too small", None, 100_00),
    }
    [cny] = velocity["items"]
    assert (cny["currency"], cny["won_count"], cny["average_won_minor"]) == ("CNY", 1, 100_00)
    assert (velocity["open_count"], velocity["won_count"], velocity["ended_count"]) == (4, 1, 3)
    assert velocity["win_rate"] == pytest.approx(1 / 3)
    assert (required["entered"], required["won"], required["wins_needed"]) == (7, 1, 3)


async def test_links_lead_back_under_the_prefix_of_an_embedded_service(house: House) -> None:
    root = FastAPI()
    root.mount("/opportunity", house.service.app)
    transport = httpx.ASGITransport(app=root)
    async with house.client() as known:
        headers = dict(known.headers)
    async with httpx.AsyncClient(transport=transport, base_url="http://keyfold.test", headers=headers) as client:
        made = await client.post("/opportunity/opportunities", json={"name": "Under a prefix"})
        client.headers["Keyfold-Position"] = made.headers["keyfold-position"]
        assert (await client.get(made.headers["location"])).json()["id"] == made.json()["id"]
        for count, drill in figures(await got(client, "/opportunity/funnel", q="prefix")):
            assert (await got(client, drill))["totals"]["count"] == count == 1
