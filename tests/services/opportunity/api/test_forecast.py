"""The forecast over HTTP: what may be counted on, targets, submissions, and how right they were."""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.services.opportunity.api.house import NOTE, House, done, got, refused

QUARTER = "2017-Q2"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MONEY = ("minor", "low_minor", "high_minor", "weighted_minor", "closed_minor")


def at(day: str) -> str:
    return f"{day}T10:00:00+08:00"


def cny(minor: int) -> dict[str, Any]:
    return {"minor": minor, "currency": "CNY"}


@dataclass
class Quarter:
    """A seller's second quarter of 2017: one deal slips out of it, one is won, one is overdue; three submissions.

    `deals`: slipped, won, overdue. `submissions`: their ids, in order."""

    client: httpx.AsyncClient
    seller: str
    team: str
    deals: list[str]
    submissions: list[str]

    def asked(self, **more: Any) -> dict[str, Any]:
        return {"owner": self.seller, "period": QUARTER, **more}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quarter(house: House) -> AsyncIterator[Quarter]:
    seller = await house.person("zhao")
    lead = await house.person("qian")
    team = await house.team("quarterly", lead, seller)
    async with house.client() as client:
        whose = {"owner_id": seller, "team_id": team}
        slipped = await house.opened(client, name="Slips", amount=cny(1000_00), close_date="2017-05-15", **whose)
        won = await house.opened(client, name="Won", amount=cny(400_00), close_date="2017-06-20", **whose)
        dollars = {"minor": 200_00, "currency": "USD"}
        overdue = await house.opened(client, name="Overdue", amount=dollars, close_date="2017-06-10", **whose)
        for deal, stages in ((slipped, 5), (overdue, 2)):
            progress = {"completed_stage": stages, "note": "CRM", "occurred_at": at("2017-03-02")}
            await done(client, f"/opportunities/{deal}/progress", progress)
        deals, made = [slipped, won, overdue], list[str]()

        async def submit(day: str) -> None:
            body = {"period": QUARTER, "person_id": seller, "occurred_at": at(day)}
            made.append((await done(client, "/forecast/submissions", body, status=201))["id"])

        await submit("2017-04-01")
        await done(
            client,
            f"/opportunities/{slipped}/close-date",
            {"close_date": "2017-07-20", "occurred_at": at("2017-05-10")},
        )
        judgement = {"amount": cny(300_00), "note": "They will haggle"}
        await done(client, f"/opportunities/{won}/forecast", {"judgement": judgement, "occurred_at": at("2017-05-11")})
        await submit("2017-05-12")
        progress = {"completed_stage": 8, "note": "CRM", "occurred_at": at("2017-06-05")}
        await done(client, f"/opportunities/{won}/progress", progress)
        win = {"amount": cny(380_00), "evidence": NOTE, "occurred_at": at("2017-06-15")}
        await done(client, f"/opportunities/{won}/win", win)
        await submit("2017-06-25")
        progress = {"completed_stage": 8, "note": "CRM", "occurred_at": at("2017-07-05")}
        await done(client, f"/opportunities/{slipped}/progress", progress)
        await done(client, f"/opportunities/{slipped}/win", {"evidence": NOTE, "occurred_at": at("2017-07-10")})
        yield Quarter(client, seller, team, deals, made)


def counted(answer: Any) -> Iterator[tuple[int, str | None]]:
    """Every count in an answer with its link."""
    if isinstance(answer, dict):
        if {"count", "drill"} <= answer.keys():
            yield answer["count"], answer["drill"]
        answer = list(answer.values())
    for one in answer if isinstance(answer, list) else ():
        yield from counted(one)


def by_currency(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["currency"]: one for one in figure["worth"]}


def money(worth: dict[str, Any]) -> list[int]:
    return [worth[name] for name in MONEY]


async def test_a_quarter_is_told_by_category_and_by_what_was_won(quarter: Quarter) -> None:
    [early] = (await got(quarter.client, "/forecast", **quarter.asked(as_of="2017-04-01")))["totals"]
    assert early["count"] == 3
    of = by_currency(early)
    assert money(of["CNY"]) == [1400_00, 500_00, 500_00, 500_00, 0]
    assert [(one["code"], one["count"], one["weighted_minor"]) for one in of["CNY"]["categories"]] == [
        ("pipeline", 1, 0),
        ("commit", 1, 500_00),
    ]
    assert money(of["USD"]) == [200_00, 40_00, 40_00, 40_00, 0]
    [late] = (await got(quarter.client, "/forecast", **quarter.asked(as_of="2017-06-25")))["totals"]
    assert late["count"] == 0
    assert money(by_currency(late)["CNY"]) == [0, 0, 0, 0, 380_00]


async def test_what_should_have_closed_and_what_slipped_stand_elsewhere(quarter: Quarter) -> None:
    told = await got(quarter.client, "/forecast", **quarter.asked(as_of="2017-06-25"))
    [overdue] = told["overdue"]
    assert [(one["currency"], one["count"]) for one in overdue["worth"]] == [("USD", 1)]
    assert told["undated"] == []
    next_ = await got(quarter.client, "/forecast", **quarter.asked(as_of="2017-06-25", period="2017-Q3"))
    assert by_currency(next_["totals"][0])["CNY"]["weighted_minor"] == 500_00


async def test_a_judgement_stands_beside_and_changes_no_other_figure(quarter: Quarter) -> None:
    [before] = (await got(quarter.client, "/forecast", **quarter.asked(as_of="2017-05-10")))["totals"]
    [after] = (await got(quarter.client, "/forecast", **quarter.asked(as_of="2017-05-12")))["totals"]
    judged = by_currency(after)["CNY"]["judged"]
    assert (judged["count"], judged["minor"]) == (1, 300_00)
    assert by_currency(before)["CNY"]["judged"] is None
    assert money(by_currency(before)["CNY"]) == money(by_currency(after)["CNY"])
    page = await got(quarter.client, f"/opportunities/{quarter.deals[1]}", as_of="2017-05-12")
    judgement = page["control"]["judgement"]
    assert (judgement["amount"], judgement["note"], judgement["by"]) == (cny(300_00), "They will haggle", "operator")
    assert page["amount"] == cny(400_00)
    assert page["control"]["forecast"] == {"category": {"code": "pipeline", "label": "Pipeline"}, "chosen": False}


@pytest.mark.parametrize(
    "question",
    [
        "/forecast?as_of=2017-04-01",
        "/forecast?as_of=2017-05-12&by=month",
        "/forecast?as_of=2017-05-12&group_by=team&group_by=stage",
        "/forecast?as_of=2017-06-25&group_by=state",
        "/forecast?as_of=2017-04-01&by=year&group_by=close_month&group_by=close_quarter",
        "/forecast?as_of=2017-06-25&belonging=now&group_by=outcome&forecast=closed&forecast=pipeline",
        "/forecast",
    ],
)
async def test_a_figure_of_the_forecast_is_a_list(quarter: Quarter, question: str) -> None:
    joined = "&" if "?" in question else "?"
    told = await got(quarter.client, f"{question}{joined}owner={quarter.seller}&period={QUARTER}")
    found = list(counted(told))
    assert sum(count for count, _ in found) > 0
    for count, drill in found:
        if drill is None:
            assert count == 0
            continue
        assert (await got(quarter.client, drill))["totals"]["count"] == count, drill


async def test_the_pipeline_by_period_opens_into_what_closes_in_it(quarter: Quarter) -> None:
    asked = {"owner": quarter.seller, "as_of": "2017-04-01", "group_by": ["close_month", "close_year"]}
    for closing, labels in (({}, ["2017-05", "2017-06"]), ({"closing": "2017-W20"}, ["2017-05"])):
        told = await got(quarter.client, "/pipeline", **asked, **closing)
        assert [one["groups"]["close_month"]["label"] for one in told["figures"]] == labels
        for count, drill in counted(told):
            assert drill is not None
            assert (await got(quarter.client, drill))["totals"]["count"] == count, drill


async def test_where_nothing_is_counted_no_link_shows_something(quarter: Quarter) -> None:
    asked = quarter.asked(as_of="2017-04-01", group_by="stage")
    [closed] = (await got(quarter.client, "/forecast", **asked, forecast="closed"))["totals"]
    assert closed["count"] == 0
    assert (await got(quarter.client, closed["drill"]))["items"] == []
    [yuan] = (await got(quarter.client, "/forecast", **asked, currency="CNY"))["totals"]
    assert (yuan["count"], yuan["without_amount"]) == (2, {"count": 0, "drill": None})


async def test_a_target_is_a_dated_fact_and_what_is_missing_is_told(quarter: Quarter) -> None:
    client, holder = quarter.client, {"holder_kind": "person", "holder_id": quarter.seller, "period": QUARTER}
    for minor, day in ((900_00, "2017-03-20"), (700_00, "2017-05-01")):
        await done(client, "/targets", {**holder, "amount": cny(minor), "occurred_at": at(day)}, status=201)
    same = await done(client, "/targets", {**holder, "amount": cny(700_00), "occurred_at": at("2017-05-02")})
    assert same["events"] == []
    [early] = (await got(client, "/forecast", **quarter.asked(as_of="2017-04-01")))["figures"]
    worth = by_currency(early)["CNY"]
    assert (worth["target"]["minor"], worth["gap_minor"]) == (900_00, 400_00)
    [late] = (await got(client, "/forecast", **quarter.asked(as_of="2017-06-25")))["totals"]
    worth = by_currency(late)["CNY"]
    assert (worth["target"]["minor"], worth["gap_minor"], worth["gap_low_minor"]) == (700_00, 320_00, 320_00)
    said = (await got(client, worth["target"]["drill"]))["items"]
    assert [one["amount"]["minor"] for one in said] == [700_00, 900_00]
    counts = (await got(client, "/targets", holder=quarter.seller, as_of="2017-04-01"))["items"]
    assert [one["amount"]["minor"] for one in counts] == [900_00]
    narrowed = await got(client, "/forecast", **quarter.asked(as_of="2017-06-25", process="default"))
    assert by_currency(narrowed["totals"][0])["CNY"]["target"] is None
    asked = {"period": QUARTER, "as_of": "2017-06-25", "within": quarter.team}
    [team] = (await got(client, "/forecast", **asked))["totals"]
    assert by_currency(team)["CNY"]["target"] is None


async def test_what_was_submitted_never_changes_and_the_last_one_stands(quarter: Quarter) -> None:
    first = await got(quarter.client, f"/forecast/submissions/{quarter.submissions[0]}")
    lines = {one["opportunity"]["id"]: one for one in first["opportunities"]}
    slipped = lines[quarter.deals[0]]
    assert (slipped["close_date"], slipped["low"], slipped["category"]["code"]) == ("2017-05-15", 50, "commit")
    assert slipped["outcome_now"]["code"] == "won"
    assert (first["lines"], len(lines), first["standing"]) == (3, 3, False)
    listed = (await got(quarter.client, "/forecast/submissions", holder=quarter.seller, period=QUARTER))["items"]
    assert [one["id"] for one in listed] == quarter.submissions[::-1]
    assert [one["standing"] for one in listed] == [True, False, False]
    assert listed[1]["judged"] == [{"currency": "CNY", "count": 1, "minor": 300_00}]
    page = await got(quarter.client, "/forecast/submissions", holder=quarter.seller, limit=2)
    rest = await got(
        quarter.client, "/forecast/submissions", holder=quarter.seller, limit=2, cursor=page["next_cursor"]
    )
    assert [one["id"] for one in (*page["items"], *rest["items"])] == quarter.submissions[::-1]


def compared(figure: dict[str, Any] | None) -> list[Any] | None:
    names = ("submissions", "submitted_minor", "won_minor", "ratio_bp", "error_minor", "absolute_error_minor")
    return None if figure is None else [figure[name] for name in names]


async def test_after_the_quarter_submissions_are_held_against_what_was_won(quarter: Quarter) -> None:
    told = await got(quarter.client, "/forecast/accuracy", holder=quarter.seller, period="FY2017")
    assert told["submissions"] == 3
    of = {one["currency"]: one for one in told["figures"]}
    assert compared(of["CNY"]["weighted"]) == [3, 880_00, 1140_00, 12_955, -260_00, 500_00]
    assert compared(of["CNY"]["commit"]) == [3, 1380_00, 1140_00, 8_261, 240_00, 1000_00]
    assert compared(of["CNY"]["judged"]) == [1, 300_00, 380_00, 12_667, -80_00, 80_00]
    assert compared(of["USD"]["weighted"]) == [2, 80_00, 0, 0, 80_00, 80_00]
    for one in of.values():
        for measure in ("weighted", "commit", "judged"):
            if one[measure] is not None:
                behind = (await got(quarter.client, one[measure]["drill"]))["items"]
                assert len(behind) == one[measure]["submissions"]
    last = await got(quarter.client, "/forecast/accuracy", holder=quarter.seller, standing=True)
    assert [compared(one["weighted"]) for one in last["figures"]] == [[1, 380_00, 380_00, 10_000, 0, 0]]
    none = await got(quarter.client, "/forecast/accuracy", holder=quarter.seller, period="2017-Q3")
    assert (none["submissions"], none["figures"]) == (0, [])


async def test_the_earlier_a_forecast_the_wider_it_missed(quarter: Quarter) -> None:
    told = await got(quarter.client, "/forecast/accuracy", holder=quarter.seller, group_by="horizon")
    rows = [one for one in told["figures"] if one["currency"] == "CNY"]
    assert [(one["days_from"], one["days_to"], one["weighted"]["error_minor"]) for one in rows] == [
        (0, 7, 0),
        (31, 60, -380_00),
        (61, 90, 120_00),
    ]
    for one in rows:
        assert len((await got(quarter.client, one["drill"]))["items"]) == 1


async def test_by_stage_the_share_expected_stands_against_the_share_won(quarter: Quarter) -> None:
    told = await got(quarter.client, "/forecast/accuracy", holder=quarter.seller, group_by="stage")
    assert [(one["stage"], one["lines"], one["won"], one["expected_bp"], one["won_bp"]) for one in told["stages"]] == [
        (1, 2, 2, 0, 10_000),
        (3, 2, 0, 2_000, 0),
        (6, 1, 0, 5_000, 0),
    ]
    [first] = told["stages"][0]["worth"]
    assert (first["weighted_minor"], first["won_minor"], first["error_minor"]) == (0, 760_00, -760_00)
    for stage in told["stages"]:
        behind = (await got(quarter.client, stage["drill"]))["items"]
        assert (len(behind), sum(line["won"] for line in behind)) == (stage["lines"], stage["won"])
        for worth in stage["worth"]:
            some = (await got(quarter.client, worth["drill"]))["items"]
            assert len(some) == worth["lines"]
            assert sum(line["won_minor"] or 0 for line in some) == worth["won_minor"]
    asked = {"holder": quarter.seller, "limit": 2}
    first_page = await got(quarter.client, "/forecast/submissions/lines", **asked)
    second = await got(quarter.client, "/forecast/submissions/lines", **asked, cursor=first_page["next_cursor"])
    ids = [(one["submission_id"], one["opportunity"]["id"]) for one in (*first_page["items"], *second["items"])]
    assert len(set(ids)) == 4


async def test_a_seller_sees_and_submits_their_own_and_nobody_elses(house: House, quarter: Quarter) -> None:
    one = f"/forecast/submissions/{quarter.submissions[0]}"
    async with house.client("zhao", "seller") as zhao, house.client("olga", "seller") as olga:
        for client in (zhao, olga):
            client.headers["Keyfold-Position"] = quarter.client.headers["Keyfold-Position"]
        assert (await got(zhao, one))["id"] == quarter.submissions[0]
        assert (await got(zhao, "/forecast/accuracy"))["submissions"] == 3
        await refused(await olga.get(one), 403, "not_yours")
        assert (await got(olga, "/forecast/submissions", holder=quarter.seller))["items"] == []
        assert (await got(olga, "/forecast/accuracy", holder=quarter.seller))["submissions"] == 0
        assert (await got(olga, "/forecast", **quarter.asked(as_of="2017-04-01")))["totals"][0]["count"] == 0
        await refused(await olga.get("/forecast/submissions/0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"), 404, "not_found")
        backdated = {"period": QUARTER, "occurred_at": at("2017-04-02")}
        await refused(await olga.post("/forecast/submissions", json=backdated), 403, "migration_only")
        await refused(await olga.post("/forecast/submissions", json={"period": QUARTER}), 409, "period_over")
        for_team = {"period": "2199-Q1", "team_id": house.ids["west"]}
        await refused(await olga.post("/forecast/submissions", json=for_team), 403, "not_led")
        made = await done(olga, "/forecast/submissions", {"period": "2199-Q1"}, status=201)
        once = {"Idempotency-Key": "forecast of the spring"}
        again = [await olga.post("/forecast/submissions", json={"period": "2199-Q2"}, headers=once) for _ in range(2)]
        assert again[0].json()["id"] == again[1].json()["id"] != made["id"]
        assert again[1].headers["Idempotency-Replayed"] == "true"
        assert (await got(olga, f"/forecast/submissions/{made['id']}"))["holder"]["name"] == "olga"


async def test_whoever_leads_submits_for_the_team_and_those_below(house: House, quarter: Quarter) -> None:
    async with house.client("mei", "manager") as mei, house.client("ann", "seller") as ann:
        deal = {"amount": cny(500), "close_date": "2198-02-01", "owner_id": house.ids["ann"]}
        ann_deal = await house.opened(mei, team_id=house.ids["shanghai"], **deal)
        body = {"period": "2198-Q1", "team_id": house.ids["east"]}
        made = await done(mei, "/forecast/submissions", body, status=201)
        told = await got(mei, f"/forecast/submissions/{made['id']}")
        assert [one["opportunity"]["id"] for one in told["opportunities"]] == [ann_deal]
        assert (await got(mei, "/forecast/accuracy", holder=house.ids["east"]))["submissions"] == 0
        ann.headers["Keyfold-Position"] = mei.headers["Keyfold-Position"]
        await refused(await ann.get(f"/forecast/submissions/{made['id']}"), 403, "not_yours")
        dry = await mei.post("/forecast/submissions?dry_run=true", json=body)
        assert dry.json()["events"][0]["data"]["lines"][0]["opportunity_id"] == ann_deal


async def test_targets_are_set_from_above(house: House) -> None:
    body = {"holder_kind": "person", "holder_id": house.ids["ann"], "period": "2198-Q2", "amount": cny(100)}
    async with house.client("lin", "manager") as lin, house.client("ann", "seller") as ann:
        await done(lin, "/targets", body, status=201)
        await refused(await lin.post("/targets", json=body | {"holder_id": house.ids["lin"]}), 403, "own_target")
        await refused(await lin.post("/targets", json=body | {"holder_id": house.ids["olga"]}), 403, "not_led")
        team = body | {"holder_kind": "team", "holder_id": house.ids["east"]}
        await refused(await lin.post("/targets", json=team), 403, "not_led")
        over = body | {"period": QUARTER}
        await refused(await lin.post("/targets", json=over), 403, "period_over")
        await refused(await lin.post("/targets", json=over | {"occurred_at": at("2017-05-01")}), 403, "period_over")
        company = {"holder_kind": "company", "period": "2198-Q2", "amount": cny(1)}
        await refused(await lin.post("/targets", json=company), 403, "not_led")
        unknown = body | {"holder_id": "0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"}
        await refused(await lin.post("/targets", json=unknown), 422, "unknown_owner")
        assert (await ann.post("/targets", json=body)).status_code == 403
        ann.headers["Keyfold-Position"] = lin.headers["Keyfold-Position"]
        assert len((await got(ann, "/targets", period="2198-Q2"))["items"]) == 1
    async with house.client("olga", "seller") as olga:
        olga.headers["Keyfold-Position"] = lin.headers["Keyfold-Position"]
        assert (await got(olga, "/targets", period="2198-Q2"))["items"] == []


async def test_the_target_of_a_team_is_set_by_whoever_leads_a_team_above(house: House) -> None:
    body = {"holder_kind": "team", "period": "2198-Q3", "amount": cny(100)}
    async with house.client("mei", "manager") as mei:
        own = await mei.post("/targets", json=body | {"holder_id": house.ids["east"]})
        await refused(own, 403, "own_target")
        await done(mei, "/targets", body | {"holder_id": house.ids["shanghai"]}, status=201)


async def test_a_category_is_said_listed_and_part_of_history(house: House) -> None:
    async with house.client("ann", "seller") as ann, house.client("lin", "manager") as lin:
        account = await house.account("Categorised")
        ann.headers["Keyfold-Position"] = house.position
        deal = await house.opened(ann, account_id=account, owner_id=house.ids["ann"])
        path = f"/opportunities/{deal}/forecast"
        await done(ann, path, {"category": "commit", "occurred_at": at("2017-03-10")})
        await refused(await ann.post(path, json={"category": "closed"}), 422, "closed_by_winning")
        await refused(await ann.post(path, json={"judgement": {"note": "x"}}), 403, "role_missing")
        lin.headers["Keyfold-Position"] = ann.headers["Keyfold-Position"]
        judgement = {"judgement": {"close_date": "2017-09-01"}, "occurred_at": at("2017-03-12")}
        await done(lin, path, judgement)
        [row] = (await got(lin, "/opportunities", account=account, forecast="commit"))["items"]
        assert (row["forecast"]["code"], row["judged"]) == ("commit", {"amount": None, "close_date": "2017-09-01"})
        asked = {"account": account, "as_of": "2017-03-09"}
        assert (await got(lin, "/opportunities", forecast="commit", **asked))["items"] == []
        [before] = (await got(lin, "/opportunities", forecast="pipeline", **asked))["items"]
        assert before["judged"] is None
        told = (await got(lin, f"/opportunities/{deal}/history"))["items"]
        assert [one["event"]["code"] for one in told[:2]] == [
            "opportunity.forecast_judged",
            "opportunity.forecast_categorised",
        ]


async def test_a_forecast_is_converted_and_a_file(quarter: Quarter) -> None:
    client = quarter.client
    rate = {"from_currency": "USD", "to_currency": "CNY", "day": "2017-04-01", "rate": "7", "source": "Forecasters"}
    await done(client, "/rates", rate)
    asked = quarter.asked(as_of="2017-04-01", rate_source="Forecasters", **{"in": "CNY"})
    told = await got(client, "/forecast", **asked)
    [total] = told["totals"]
    assert total["converted"]["weighted_minor"] == 500_00 + 40_00 * 7
    assert by_currency(total)["USD"]["converted"]["rate"]["rate"] == "7"
    assert [one["source"] for one in told["rates"]] == ["Forecasters"]
    answer = await client.get("/forecast", params=asked | {"format": "csv"})
    assert answer.status_code == 200
    [first, second] = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert (first["Period"], first["Owner"], first["Currency"], first["Commit"]) == (QUARTER, "zhao", "CNY", "1000.00")
    assert (second["Amount, weighted"], second["Converted"]) == ("40.00", "1400.00")


@pytest.mark.parametrize(
    ("path", "heads"),
    [
        ("/forecast/submissions", ["Submission", "Holder", "Forecast category", "Amount, weighted"]),
        ("/forecast/submissions/lines", ["Opportunity", "Stage", "Won"]),
        ("/forecast/accuracy", ["Holder", "Measure", "Submitted less won"]),
        ("/forecast/accuracy?group_by=stage", ["Stage", "Won, %", "Amount, weighted"]),
        ("/targets", ["Holder", "Period", "Target"]),
        ("/rates", ["One", "Was worth", "Rate", "Says"]),
        ("/priorities", ["Priority", "Visits, %", "Deserves, %"]),
        ("/pipeline/anomalies", ["Abnormal", "Cause", "Since", "Owner"]),
        ("/pipeline/waterfall?from=2017-03-31&to=2017-06-30", ["Change", "Adds to the money", "Currency"]),
    ],
)
async def test_every_list_is_also_a_file(quarter: Quarter, path: str, heads: list[str]) -> None:
    joined = "&" if "?" in path else "?"
    answer = await quarter.client.get(f"{path}{joined}format=csv")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    [first, *_] = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert set(heads) <= first.keys()
    book = await quarter.client.get(path, headers={"Accept": XLSX})
    assert book.status_code == 200
    assert book.content.startswith(b"PK")


async def test_a_file_says_what_the_list_says(quarter: Quarter) -> None:
    asked = {"holder": quarter.seller, "period": QUARTER}
    answer = await quarter.client.get("/forecast/submissions", params=asked | {"format": "csv", "limit": 1})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert list(dict.fromkeys(row["Submission"] for row in rows)) == quarter.submissions[::-1]
    judged = [row["Amount"] for row in rows if row["Forecast category"] == "Judged by managers"]
    assert judged == ["300.00"]


async def test_what_is_no_period_is_refused_by_name(quarter: Quarter) -> None:
    for wrong, code in (
        ({"period": "soon"}, "bad_period"),
        ({"period": "0001-02", "by": "year"}, "bad_period"),
        ({"period": "9998-11", "by": "year"}, "bad_period"),
        ({"period": QUARTER, "from": "2017-01-01"}, "bad_period"),
        ({"from": "2017-01-01"}, "bad_period"),
        ({"from": "2017-02-01", "to": "2017-01-01"}, "bad_period"),
        ({"from": "2017-01-01", "to": "2019-12-31"}, "too_many_periods"),
        ({"from": "1901-01-01", "to": "2100-12-31", "by": "year"}, "too_many_periods"),
        ({"closing": QUARTER}, "bad_period"),
    ):
        await refused(await quarter.client.get("/forecast", params=wrong), 400, code)
    months = await got(quarter.client, "/forecast", **quarter.asked(by="month", group_by="owner"))
    assert [one["period"]["label"] for one in months["totals"]] == ["2017-04", "2017-05", "2017-06"]
