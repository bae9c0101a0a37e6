"""The pipeline and its waterfall over HTTP: links, currencies in one, files, and whose they show."""

import csv
import io
import zipfile
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.services.opportunity.api.house import House, done, got, refused
from tests.services.opportunity.api.test_figures import CNY, USD, busy_account, figures

Busy = tuple[httpx.AsyncClient, str]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MONTH = {"from": "2017-03-31", "to": "2017-04-30"}
BANK = "The tests' bank"
RATE = {"from_currency": "USD", "to_currency": "CNY", "day": "2017-04-28", "rate": "6.8930", "source": BANK}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def busy(house: House) -> AsyncIterator[Busy]:
    """A client, and an account that only these tests read."""
    async with house.client() as client:
        account = await busy_account(house, client)
        await done(client, "/rates", RATE)
        yield client, account


def balances(waterfall: dict[str, Any]) -> dict[str | None, dict[str, Any]]:
    [part] = waterfall["parts"]
    return {one["currency"]: one for one in part["balances"]}


@pytest.mark.parametrize(
    "question",
    [
        "/pipeline?",
        "/pipeline?group_by=owner&group_by=synchrony&",
        "/pipeline?group_by=state&as_of=2017-04-05&",
        "/pipeline?group_by=team&as_of=2017-04-05&belonging=now&",
        "/pipeline?group_by=outcome&",
        "/pipeline?group_by=close_quarter&",
    ],
)
async def test_a_figure_of_the_pipeline_is_a_list(busy: Busy, question: str) -> None:
    client, account = busy
    found = list(figures(await got(client, f"{question}account={account}")))
    assert sum(count for count, _ in found) > 0
    for count, drill in found:
        assert (await got(client, drill))["totals"]["count"] == count, drill


async def test_the_pipeline_says_what_it_promises(busy: Busy) -> None:
    client, account = busy
    answer = await got(client, "/pipeline", account=account, group_by="stage", as_of="2017-04-30")
    assert answer["group_by"] == ["process", "stage"]
    first, far = answer["figures"]
    assert (first["count"], far["count"]) == (3, 1)
    assert far["expected_wins"] == {"low": 0.5, "high": 0.5}
    [worth] = far["worth"]
    assert [worth[name] for name in ("minor", "low_minor", "high_minor", "weighted_minor")] == [
        100_00,
        50_00,
        50_00,
        50_00,
    ]
    assert (answer["totals"]["count"], answer["totals"]["expected_wins"]["low"]) == (4, 0.5)
    assert {one["code"]: one["count"] for one in far["synchrony"]} == {"in_sync": 1}
    assert worth["converted"] is None


async def test_the_waterfall_balances_and_every_bar_opens(busy: Busy) -> None:
    client, account = busy
    answer = await got(client, "/pipeline/waterfall", account=account, **MONTH)
    found = balances(answer)
    assert {code: (one["opening"]["minor"], one["closing"]["minor"]) for code, one in found.items()} == {
        "CNY": (400_00, 200_00), "USD": (140_00, 70_00), None: (0, 0),
    }  # fmt: skip
    assert {bar["bar"]: (bar["sign"], bar["minor"], bar["count"]) for bar in found["CNY"]["bars"]} == {
        "won": (-1, 100_00, 1), "abandoned": (-1, 100_00, 1),
    }  # fmt: skip
    for currency, balance in found.items():
        assert (balance["difference_minor"], balance["difference_count"]) == (0, 0)
        for side in ("opening", "closing"):
            listed = await got(client, balance[side]["drill"])
            assert listed["totals"]["count"] == balance[side]["count"], (currency, side)
        for bar in balance["bars"]:
            behind = await got(client, bar["drill"])
            assert behind["total"] == bar["changes"] == len(behind["items"])
            assert sum(row["minor"] for row in behind["items"]) == bar["sign"] * bar["minor"]
    won = await got(client, next(bar["drill"] for bar in found["CNY"]["bars"] if bar["bar"] == "won"))
    [step] = won["items"]
    assert [event["code"] for event in step["events"]] == ["opportunity.won"]
    history = await got(client, step["history"])
    assert step["events"][0]["version"] in {one["version"] for one in history["items"]}


async def test_parts_of_a_waterfall_open_into_their_own_steps(busy: Busy, house: House) -> None:
    client, account = busy
    answer = await got(client, "/pipeline/waterfall", account=account, group_by="owner", **MONTH)
    assert {part["group"]["value"] for part in answer["parts"]} == {
        *(house.ids[name] for name in ("ann", "bob", "olga")), "none",
    }  # fmt: skip
    for part in answer["parts"]:
        for balance in part["balances"]:
            assert balance["difference_minor"] == 0
            for bar in balance["bars"]:
                assert (await got(client, bar["drill"]))["total"] == bar["changes"]
                assert part["group"]["value"] in parse_qs(urlsplit(bar["drill"]).query)["owner"]


async def test_knowledge_has_its_own_waterfall(busy: Busy) -> None:
    client, account = busy
    question = {"account": account, "clock": "knowledge", "from": "2017-04-30"}
    today = (await got(client, "/calendars"))["today"]
    learned = balances(await got(client, "/pipeline/waterfall", **question, to=today))
    assert learned["CNY"]["opening"]["minor"] == 0
    assert learned["CNY"]["closing"]["minor"] == 200_00
    assert learned["CNY"]["difference_minor"] == 0


async def test_steps_come_page_by_page(busy: Busy) -> None:
    client, account = busy
    question: dict[str, Any] = {"account": account, "limit": 2, **MONTH, "from": "2017-02-28"}
    first = await got(client, "/pipeline/waterfall/steps", **question)
    found = list(first["items"])
    cursor = first["next_cursor"]
    while cursor:
        page = await got(client, "/pipeline/waterfall/steps", **question, cursor=cursor)
        found, cursor = found + page["items"], page["next_cursor"]
    assert len(found) == first["total"] == 10
    assert [row["at"] for row in found] == sorted(row["at"] for row in found)


async def test_several_currencies_are_told_in_one_at_a_rate_that_is_named(busy: Busy) -> None:
    client, account = busy
    asked = {"account": account, "in": "CNY", "rate_source": BANK}
    pipeline = await got(client, "/pipeline", **asked, as_of="2017-04-30", group_by="process")
    assert pipeline["rate_on"] == "2017-04-30"
    rate = {"from_currency": "USD", "to_currency": "CNY", "rate": "6.8930", "day": "2017-04-28", "source": BANK}
    assert pipeline["rates"] == [{**rate, "inverse": False}]
    by_currency = {one["currency"]: one["converted"] for one in pipeline["totals"]["worth"]}
    assert (by_currency["USD"]["minor"], by_currency["USD"]["rate"]["source"]) == (482_51, BANK)
    assert (by_currency["CNY"]["minor"], by_currency["CNY"]["rate"]) == (200_00, None)
    assert pipeline["totals"]["converted"]["minor"] == 682_51
    waterfall = await got(client, "/pipeline/waterfall", **asked, **MONTH)
    [part] = waterfall["parts"]
    together = part["converted"]
    # 140.00 USD are 965.02 CNY, 70.00 USD are 482.51 CNY
    assert (together["opening_minor"], together["closing_minor"]) == (1365_02, 682_51)
    assert together["opening_minor"] + sum(bar["sign"] * bar["minor"] for bar in together["bars"]) == (
        together["closing_minor"] - together["rounding_minor"]
    )


async def test_a_currency_without_a_rate_is_refused_and_not_left_out(busy: Busy) -> None:
    client, account = busy
    for path in ("/pipeline?", "/pipeline/waterfall?from=2017-03-31&to=2017-04-30&"):
        answer = await client.get(f"{path}account={account}&in=CNY&rate_on=2016-01-01")
        problem = await refused(answer, 422, "rate_missing")
        assert "USD" in problem["detail"]
    early = await client.get(
        f"/pipeline?account={account}&in=CNY&rate_on=2017-05-05&rate_within_days=3&rate_source={BANK}"
    )
    await refused(early, 422, "rate_missing")


async def test_rates_are_listed_and_the_last_word_counts(busy: Busy) -> None:
    client, _ = busy
    said = {"from_currency": "EUR", "to_currency": "CNY", "source": "EUR bank"}
    for day, rate in (("2017-01-02", "7.1"), ("2017-01-03", "7.2"), ("2017-01-02", "7.3")):
        await done(client, "/rates", {**said, "day": day, "rate": rate})
    again = await done(client, "/rates", {**said, "day": "2017-01-02", "rate": "7.30"}, status=200)
    assert again["events"] == []
    first = await got(client, "/rates", source="EUR bank", limit=1)
    rest = await got(client, "/rates", source="EUR bank", limit=1, cursor=first["next_cursor"])
    assert [(one["day"], one["rate"]) for one in first["items"] + rest["items"]] == [
        ("2017-01-03", "7.2"),
        ("2017-01-02", "7.3"),
    ]
    assert rest["next_cursor"] is None


async def test_who_may_quote(house: House) -> None:
    async with house.client("ann", "seller") as client:
        await refused(await client.post("/rates", json=RATE), 403, "role_missing")
        assert (await client.get("/rates")).status_code == 200


async def test_a_seller_sees_own_and_team_only(busy: Busy, house: House) -> None:
    _, account = busy
    async with house.client("olga", "seller") as olga, house.client("lin", "manager") as lin:
        own = await got(olga, "/pipeline", account=account, as_of="2017-03-31")
        assert own["totals"]["count"] == 1
        assert list(balances(await got(olga, "/pipeline/waterfall", account=account, **MONTH))) == [None]
        assert (await got(olga, "/pipeline/waterfall/steps", account=account, **MONTH))["items"] == []
        assert (await got(lin, "/pipeline/waterfall/steps", account=account, **MONTH))["total"] == 2
        file = (await olga.get(f"/opportunities?account={account}&format=csv")).content.decode("utf-8-sig")
        assert len(list(csv.reader(io.StringIO(file)))) == 2


@pytest.mark.parametrize(
    "question",
    [
        "/opportunities?sort=-amount&limit=1&",
        "/pipeline?group_by=owner&in=CNY&rate_on=2017-04-30&",
        "/pipeline/waterfall/steps?from=2017-02-28&to=2017-04-30&limit=1&",
    ],
)
async def test_lists_are_files(busy: Busy, question: str) -> None:
    client, account = busy
    path = f"{question}account={account}"
    file = await client.get(path, headers={"Accept": "text/csv", "Accept-Language": "zh-CN"})
    assert file.status_code == 200, file.text
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    assert file.headers["content-disposition"].startswith("attachment; filename=")
    rows = list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"))))
    english = await client.get(f"{path}&format=csv")
    assert len(rows) == len(list(csv.reader(io.StringIO(english.content.decode("utf-8-sig"))))) > 2
    assert "币种" in rows[0]
    assert b"Currency" in english.content
    book = await client.get(f"{path}&format=xlsx")
    assert book.headers["content-type"] == XLSX
    assert zipfile.ZipFile(io.BytesIO(book.content)).testzip() is None
    assert (await client.get(f"{path}&format=json", headers={"Accept": XLSX})).json()


async def test_a_file_of_the_list_has_all_rows_in_its_order(busy: Busy) -> None:
    client, account = busy
    listed = await got(client, "/opportunities", account=account, sort="-amount")
    file = await client.get(
        "/opportunities", params={"account": account, "sort": "-amount", "limit": 2, "format": "csv"}
    )
    rows = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"))))
    assert [row["Id"] for row in rows] == [one["id"] for one in listed["items"]]
    assert {row["Amount"] for row in rows} == {"100.00", "70.00", ""}


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("from=2017-04-30&to=2017-03-31", "bad_period"),
        ("from=yesterday&to=2017-03-31", "bad_moment"),
        ("from=2017-03-31&to=2999-03-31", "future_moment"),
        ("from=2017-03-31&to=2017-04-30&clock=knowledge&known_at=2017-05-01", "bad_clock"),
        ("from=2017-03-31&to=2017-04-30&closing=soon", "bad_period"),
        ("from=2017-03-31&to=2017-04-30&rate_on=2017-03-31", "bad_rate"),
    ],
)
async def test_what_cannot_be_asked_is_named(busy: Busy, question: str, code: str) -> None:
    client, _ = busy
    await refused(await client.get(f"/pipeline/waterfall?{question}"), 400, code)


async def test_what_is_expected_to_close_in_a_period_is_a_filter_of_every_list(house: House) -> None:
    async with house.client() as client:
        account = await house.account("Closing")
        client.headers["Keyfold-Position"] = house.position
        for day in ("2017-06-30", "2017-07-01"):
            await house.opened(client, account_id=account, close_date=day, amount=CNY)
        await house.opened(client, account_id=account, amount=USD)
        listed = await got(client, "/opportunities", account=account, closing="2017-Q2")
        assert [one["close_date"] for one in listed["items"]] == ["2017-06-30"]
        assert (await got(client, "/pipeline", account=account, closing="2017-07"))["totals"]["count"] == 1
