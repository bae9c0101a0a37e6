"""Gates over HTTP: rules as data, what they say before and when one tries, concessions within one's authority."""

from typing import Any

import httpx

from shared.contracts.opportunity import GateStopped
from shared.kit.ids import new_id
from tests.services.opportunity.api.house import NOTE, House, done, got, refused

CNY = {"minor": 100_000_00, "currency": "CNY"}
SKIP = {"stage": 1, "reason": "A framework agreement is in force"}
DISCOUNT = {"concessions": [{"kind": "discount", "discount_bp": 300}], "reason": "Rival is cheaper"}
PREPAID = {
    "concessions": [{"kind": "discount", "discount_bp": 300}, {"kind": "payment_terms", "payment_days": 0}],
    "reason": "They pay before delivery",
}


def rule(marker: str, **fields: Any) -> dict[str, Any]:
    """Stands before skipping the first stage, of the opportunities alone that carry this flag."""
    return {
        "names": {"en": "No skipping", "zh": "不得跳过"},
        "guards": [{"act": "stage_skipped", "stages": [1]}],
        "applies_when": {"fact": "flags", "test": "has", "value": marker},
        "requires": {"fact": "amount", "test": "known"},
        "mode": "control",
        "message": {"en": "Say what it is worth first", "zh": "请先填写金额"},
        "proofs": [
            {"name": "no amount", "facts": {"flags": [marker]}, "expect": "fires"},
            {"name": "an amount", "facts": {"flags": [marker], "amount": CNY}, "expect": "passes"},
        ],
        **fields,
    }


async def gated(house: House, client: httpx.AsyncClient, **fields: Any) -> tuple[str, str]:
    """(the key of a new gate, an opportunity of Ann's that it is about)."""
    marker = "g" + new_id().hex[-12:]
    said = {name: fields.pop(name) for name in list(fields) if name in ("mode", "guards", "requires", "proofs")}
    await done(client, "/gates", {"key": marker, "rule": rule(marker, **said)}, status=201)
    opened = await house.opened(client, owner_id=house.ids["ann"], **fields)
    await done(client, f"/opportunities/{opened}/flags", {"flags": [marker]})
    return marker, opened


def types(answer: dict[str, Any]) -> list[str]:
    return [event["type"].removeprefix("opportunity.") for event in answer["events"]]


async def test_the_default_book_is_there(house: House) -> None:
    async with house.client() as client:
        listed = await got(client, "/gates", force="in_force", mode="warn")
        chinese = await client.get("/gates/price_for_terms", headers={"Accept-Language": "zh-CN"})
        matrix = await got(client, "/authority")
    assert "price_for_terms" in [item["key"] for item in listed["items"]]
    assert all(item["latest"]["failing_proofs"] == [] for item in listed["items"])
    assert chinese.json()["label"] == "降价须换取更好的付款条件"
    assert (matrix["in_force"], matrix["items"][0]["standard_payment_days"]) == (1, 30)


async def test_a_gate_is_refused_whole_with_every_fault(house: House) -> None:
    async with house.client() as client:
        wrong = rule("x", requires={"fact": "nonsense", "test": "known"}, level=1)
        answer = await client.post("/gates", json={"key": "facts", "rule": wrong})
        problem = await refused(answer, 422, "bad_key")
        assert {fault["field"] for fault in problem["errors"]} == {"key", "rule.level", "rule.requires.fact"}
        code = {"key": "bad", "rule": rule("x", requires={"all_of": [{"code": "import os"}]})}
        await refused(await client.post("/gates", json=code), 422, "invalid_request")


async def test_only_operations_and_executives_write_rules(house: House) -> None:
    async with house.client("lin", "manager") as lin:
        await refused(await lin.post("/gates", json={"key": "mine", "rule": rule("x")}), 403, "role_missing")
        await refused(await lin.post("/authority", json={}), 403, "role_missing")


async def test_versions_follow_each_other_and_one_is_retired(house: House) -> None:
    async with house.client() as client:
        key, opened = await gated(house, client)
        again = await done(client, f"/gates/{key}/versions", {"rule": rule(key)}, status=200)
        assert again["created"] is False
        second = await done(client, f"/gates/{key}/versions", {"rule": rule(key, mode="stop")}, status=201)
        assert second["gate_version"] == 2
        await refused(await client.post(f"/opportunities/{opened}/skips", json=SKIP), 409, "gate_stop")
        await done(client, f"/gates/{key}/retirement", {"reason": "The matrix covers it"})
        page = await got(client, f"/gates/{key}")
        versions, retired = await got(client, page["versions_drill"]), await got(client, page["retirements_drill"])
        assert [(one["version"], one["force"]["code"]) for one in versions["items"]] == [(2, "ended"), (1, "ended")]
        assert (page["in_force"], page["latest"]["version"], page["versions"], page["retirements"]) == (None, 2, 2, 1)
        assert [one["reason"] for one in retired["items"]] == ["The matrix covers it"]
        assert types(await done(client, f"/opportunities/{opened}/skips", SKIP)) == ["stage_skipped"]


async def test_it_says_before_one_tries_what_it_says_when_one_does(house: House) -> None:
    async with house.client() as client:
        key, opened = await gated(house, client)
        page = await got(client, f"/opportunities/{opened}")
        [said] = [one for one in page["gates"] if one["gate"] == key]
        assert (said["act"]["code"], said["stage"], said["verdict"]["code"]) == ("stage_skipped", 1, "refused")
        assert (said["message"], said["waiver"]) == ("Say what it is worth first", "/waivers")
        assert [(one["fact"]["code"], one["found"]) for one in said["lacking"]] == [("amount", None)]
        problem = await refused(await client.post(f"/opportunities/{opened}/skips", json=SKIP), 409, "gate_control")
        [fault] = problem["errors"]
        assert f"gate {key}, version 1" in fault["message"]
        assert f'POST /waivers with "gate": "{key}"' in fault["expected"]
        await done(client, f"/opportunities/{opened}/amount", {"amount": CNY})
        page = await got(client, f"/opportunities/{opened}")
        assert [one["verdict"]["code"] for one in page["gates"] if one["gate"] == key] == ["passes"]
        assert types(await done(client, f"/opportunities/{opened}/skips", SKIP)) == ["stage_skipped"]


async def test_what_was_stopped_is_on_record_once_and_not_when_only_tried(house: House) -> None:
    async with house.client() as client:
        key, opened = await gated(house, client)
        path = f"/opportunities/{opened}/skips"
        for headers in ({}, {"Idempotency-Key": "once"}, {"Idempotency-Key": "once"}):
            await refused(await client.post(path, json=SKIP, headers=headers), 409, "gate_control")
        await refused(await client.post(path, json=SKIP, params={"dry_run": True}), 409, "gate_control")
        await refused(await client.post(path, json={**SKIP, "stage": 5}), 409, "wrong_stage_order")
        facts = await house.service.backend.store.load(f"opportunity-{opened}")
    stopped = [fact.event for fact in facts if fact.event.type_name == "opportunity.gate_stopped"]
    assert [(one.gate, one.act, one.mode) for one in stopped] == [(key, "stage_skipped", "control")]  # type: ignore[attr-defined]


async def stops(house: House, opened: str) -> list[Any]:
    facts = await house.service.backend.store.load(f"opportunity-{opened}")
    return [fact for fact in facts if isinstance(fact.event, GateStopped)]


async def test_the_same_stop_is_told_again_and_recorded_once_until_something_else_happens(house: House) -> None:
    async with house.client() as client, house.client("ann", "seller") as ann:
        _, opened = await gated(house, client)
        path = f"/opportunities/{opened}/skips"
        for _ in range(3):
            await refused(await client.post(path, json=SKIP), 409, "gate_control")
        for _ in range(2):
            await refused(await ann.post(path, json=SKIP), 409, "gate_control")
        await refused(await client.post(path, json=SKIP), 409, "gate_control")
        assert [fact.actor for fact in await stops(house, opened)] == ["operator", "ann"]
        await done(client, f"/opportunities/{opened}/comments", {"text": "The customer calls daily"})
        await refused(await client.post(path, json=SKIP), 409, "gate_control")
    assert len(await stops(house, opened)) == 3


async def test_no_key_of_a_caller_hides_a_stop(house: House) -> None:
    """Whatever keys they choose, and whatever else they sent under the same one."""
    async with house.client() as client:
        _, opened = await gated(house, client)
        comment = {"text": "The customer calls daily"}
        path, key = f"/opportunities/{opened}/skips", new_id().hex
        for taken in (f"{key}/gates", f"gates/{key}"):
            await client.post(f"/opportunities/{opened}/comments", json=comment, headers={"Idempotency-Key": taken})
        for reason in ("A framework agreement", "No framework agreement"):
            body = {**SKIP, "reason": reason}
            answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
            await refused(answer, 409, "gate_control")
    assert len(await stops(house, opened)) == 1


async def test_a_refusal_speaks_the_language_of_the_caller(house: House) -> None:
    async with house.client() as client:
        key, opened = await gated(house, client)
        chinese = {"Accept-Language": "zh-CN"}
        answer = await client.post(f"/opportunities/{opened}/skips", json=SKIP, headers=chinese)
        problem = await refused(answer, 409, "gate_control")
        assert problem["detail"] == f"请先填写金额（防错规则 {key} 第 1 版，跳过阶段（第 1 阶段）：金额未登记）"
        assert problem["errors"][0]["expected"] == f'金额已登记；或由他人批准的豁免：POST /waivers，"gate": "{key}"'
        less = {"fact": "amount", "test": "below", "value": {"minor": 1, "currency": "CNY"}}
        small = rule(key, requires=less, mode="stop", proofs=[
            {"name": "large", "facts": {"flags": [key], "amount": CNY}, "expect": "fires"},
            {"name": "none", "facts": {}, "expect": "passes"},
        ])  # fmt: skip
        await done(client, f"/gates/{key}/versions", {"rule": small}, status=201)
        await done(client, f"/opportunities/{opened}/amount", {"amount": CNY})
        answer = await client.post(f"/opportunities/{opened}/skips", json=SKIP, headers=chinese)
        [fault] = (await refused(answer, 409, "gate_stop"))["errors"]
        assert "金额为 100,000.00 CNY" in fault["message"]
        assert fault["expected"] == "金额小于 0.01 CNY；否则任何人不得通过"


async def test_a_warning_shows_in_a_dry_run_and_stays_on_record(house: House) -> None:
    async with house.client() as client:
        key, opened = await gated(house, client, mode="warn")
        tried = await client.post(f"/opportunities/{opened}/skips", json=SKIP, params={"dry_run": True})
        answer = await done(client, f"/opportunities/{opened}/skips", SKIP)
        history = await got(client, f"/opportunities/{opened}/history")
    assert types(tried.json()) == types(answer) == ["stage_skipped", "gate_warned"]
    assert answer["events"][1]["data"]["gate"] == key
    assert history["items"][0]["en"] == "A gate warned"


async def test_several_steps_are_held_to_the_gates_together(house: House) -> None:
    async with house.client() as client:
        _, opened = await gated(house, client)
        amount = {"action": "amount", "amount": CNY}
        skip = {"action": "skip", **SKIP}
        body = {"changes": [skip, amount]}
        await refused(await client.post(f"/opportunities/{opened}/changes", json=body), 409, "gate_control")
        answer = await done(client, f"/opportunities/{opened}/changes", {"changes": [amount, skip]})
    assert types(answer) == ["amount_estimated", "stage_skipped"]


async def test_what_another_system_says_meets_no_gate(house: House) -> None:
    async with house.client() as client:
        stop = {"names": {"en": "x"}, "guards": [{"act": "stage_completed", "stages": [1]}], "mode": "stop",
                "requires": {"fact": "amount", "test": "above", "value": CNY}, "message": {"en": "Never"},
                "proofs": [{"name": "small", "facts": {"amount": CNY}, "expect": "fires"},
                           {"name": "large", "facts": {"amount": {**CNY, "minor": 100_000_01}}, "expect": "passes"},
                           ]}  # fmt: skip
        key = "g" + new_id().hex[-12:]
        await done(client, "/gates", {"key": key, "rule": stop}, status=201)
        try:
            body = {"completed_stage": 2, "note": "It stood there"}
            known = await house.opened(client, external_ids={"crm": key})
            assert "stage_completed" in types(await done(client, f"/opportunities/{known}/progress", body))
            ours = await house.opened(client)
            await refused(await client.post(f"/opportunities/{ours}/progress", json=body), 409, "gate_stop")
        finally:
            await done(client, f"/gates/{key}/retirement", {"reason": "The test is over"})


async def test_a_lower_price_without_a_better_payment_term_warns(house: House) -> None:
    async with house.client("ann", "seller") as ann:
        opened = await house.opened(ann, amount=CNY)
        path = f"/opportunities/{opened}/concessions"
        assert types(await done(ann, path, DISCOUNT)) == ["concession_granted", "gate_warned"]
        again = await done(ann, path, PREPAID)
        assert types(again) == ["concession_granted"]  # the discount is granted already
        assert again["events"][0]["data"]["authority_version"] == 1
        page = await got(ann, f"/opportunities/{opened}")
        assert [(one["kind"]["code"], one["granted_as"]) for one in page["concessions"]] == [
            ("discount", "seller"),
            ("payment_terms", None),
        ]


async def test_beyond_ones_authority_it_is_forbidden(house: House) -> None:
    async with house.client("ann", "seller") as ann, house.client("lin", "manager") as lin:
        opened = await house.opened(ann, amount=CNY)
        body = {"concessions": [{"kind": "discount", "discount_bp": 900}], "reason": "Rival is cheaper"}
        answer = await ann.post(f"/opportunities/{opened}/concessions", json=body)
        problem = await refused(answer, 403, "over_authority")
        assert problem["errors"][0]["expected"] == "somebody with the role manager, executive"
        granted = await done(lin, f"/opportunities/{opened}/concessions", body)
    assert granted["events"][0]["data"]["granted_as"] == "manager"


async def test_the_matrix_binds_a_lower_amount_and_a_contract_too(house: House) -> None:
    less = {"minor": 90_000_00, "currency": "CNY"}
    async with house.client("ann", "seller") as ann, house.client("lin", "manager") as lin:
        system = "s" + new_id().hex[-12:]
        opened = await house.opened(ann, amount=CNY, external_ids={system: "1"})
        await done(ann, f"/opportunities/{opened}/concessions", DISCOUNT)
        await refused(await ann.post(f"/opportunities/{opened}/amount", json={"amount": less}), 403, "over_authority")
        put, said = f"/opportunities/by-external/{system}/1", {"name": "Bottling line", "amount": less}
        await refused(await ann.put(put, json=said), 403, "over_authority")
        answer = await done(lin, f"/opportunities/{opened}/amount", {"amount": less})
        assert types(answer) == ["amount_reduced", "concession_granted", "gate_warned"]
        page = await got(lin, f"/opportunities/{opened}")
        [price] = [one for one in page["concessions"] if one["kind"]["code"] == "price"]
        assert (price["reduction_bp"], price["reason"], price["granted_as"]) == (1_000, None, "manager")
    async with house.client("crm", "integration") as crm:
        cheap = {"minor": 1, "currency": "CNY"}
        elsewhere = await crm.put(put, json={**said, "amount": cheap})
        assert types(elsewhere.json()) == ["amount_reduced"]


async def test_a_price_that_a_gate_stops_by_another_systems_id_is_on_record(house: House) -> None:
    async with house.client() as client, house.client("lin", "manager") as lin:
        system = "s" + new_id().hex[-12:]
        key, opened = await gated(
            house,
            client,
            guards=[{"act": "price"}],
            requires={"fact": "payment_days", "test": "known"},
            proofs=[],
            mode="warn",
            amount=CNY,
            external_ids={system: "1"},
        )
        strict = rule(
            key,
            guards=[{"act": "price"}],
            requires={"fact": "payment_days", "test": "known"},
            proofs=[
                {"name": "no word", "facts": {"flags": [key]}, "expect": "fires"},
                {"name": "prepaid", "facts": {"flags": [key], "payment_days": 0}, "expect": "passes"},
            ],
        )
        await done(client, f"/gates/{key}/versions", {"rule": strict}, status=201)
        await done(client, f"/opportunities/{opened}/concessions", DISCOUNT)
        less = {"name": "Bottling line", "amount": {"minor": 90_000_00, "currency": "CNY"}}
        await refused(await lin.put(f"/opportunities/by-external/{system}/1", json=less), 409, "gate_control")
    [stop] = await stops(house, opened)
    assert (stop.actor, stop.event.gate, stop.event.act) == ("lin", key, "price")


async def test_finance_grants_terms_of_payment_and_changes_nothing_else(house: House) -> None:
    async with house.client("ann", "seller") as ann, house.client("frank", "finance") as finance:
        opened = await house.opened(ann, amount=CNY)
        body = {"concessions": [{"kind": "payment_terms", "payment_days": 90}], "reason": "A public customer"}
        await refused(await ann.post(f"/opportunities/{opened}/concessions", json=body), 403, "over_authority")
        granted = await done(finance, f"/opportunities/{opened}/concessions", body)
        assert granted["events"][0]["data"]["granted_as"] == "finance"
        await refused(await finance.post(f"/opportunities/{opened}/concessions", json=DISCOUNT), 403, "over_authority")
        await refused(await finance.post(f"/opportunities/{opened}/amount", json={"amount": CNY}), 403, "role_missing")


async def test_a_new_matrix_counts_at_once(wild_house: House) -> None:
    async with wild_house.client() as client, wild_house.client("ann", "seller") as ann:
        [old] = (await got(client, "/authority"))["items"]
        less = {
            "standard_payment_days": old["standard_payment_days"],
            "grants": [one for one in old["grants"] if one["role"] != "seller"],
        }
        opened = await wild_house.opened(client, owner_id=wild_house.ids["ann"], amount=CNY)
        await done(client, "/authority", less, status=201)
        answer = await ann.post(f"/opportunities/{opened}/concessions", json=DISCOUNT)
        await refused(answer, 403, "over_authority")


async def test_the_facts_are_listed_with_their_tests(house: House) -> None:
    async with house.client() as client:
        facts = await got(client, "/gates/facts")
    [saved] = [one for one in facts["items"] if one["code"] == "payment_days_saved"]
    assert (saved["kind"], "at_least" in saved["tests"]) == ("number", True)


async def test_a_win_without_an_amount_warns(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        await done(client, f"/opportunities/{opened}/progress", {"completed_stage": 8, "note": "It stood there"})
        answer = await done(client, f"/opportunities/{opened}/win", {"evidence": NOTE})
    assert types(answer) == ["won", "gate_warned"]
    assert answer["events"][1]["data"]["gate"] == "win_on_record"


async def test_a_recurring_anomaly_proposes_a_gate(house: House) -> None:
    async with house.client() as client:
        for _ in range(3):  # the customer already tenders, and we have not begun
            opened = await house.opened(client)
            await done(client, f"/opportunities/{opened}/buying-stage", {"stage": 5, "evidence": NOTE})
        ahead = await house.opened(client, external_ids={"crm": new_id().hex})
        await done(client, f"/opportunities/{ahead}/progress", {"completed_stage": 6, "note": "It stood there"})
        await done(client, f"/opportunities/{ahead}/buying-stage", {"stage": 1, "evidence": NOTE})
        found = {one["key"]: one for one in (await got(client, "/gates/proposals"))["items"]}
        proposed = found["after_behind"]
        assert proposed["count"] >= 3
        assert (proposed["anomaly"]["code"], proposed["defined"]) == ("out_of_sync", False)
        shown = await got(client, proposed["drill"])
        assert {item["code"]["code"] for item in shown["items"]} == {"out_of_sync"}
        assert len(shown["items"]) == proposed["count"]
        assert ahead not in [item["opportunity"]["id"] for item in shown["items"]]
        tried = await client.post(
            "/gates", json={"key": proposed["key"], "rule": proposed["rule"]}, params={"dry_run": True}
        )
        assert tried.status_code == 201, tried.text
    async with house.client("ann", "seller") as ann:
        await refused(await ann.get("/gates/proposals"), 403, "role_missing")
