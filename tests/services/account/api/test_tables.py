"""Bulk load from CSV: every row a command of its own, what cannot be read named by line and column."""

import httpx

from services.account.loading.kinds import LOADABLE
from shared.testing.apps import RunningService
from tests.services.account.api.conftest import Shop, problem

CSV = {"Content-Type": "text/csv"}


async def load(http: httpx.AsyncClient, path: str, text: str, **headers: str) -> dict[str, object]:
    answer = await http.post(path, content=text.encode(), headers=CSV | headers)
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


def counts(answer: dict[str, object]) -> tuple[object, ...]:
    return tuple(answer[name] for name in ("created", "changed", "unchanged", "refused"))


async def test_the_example_of_each_kind_loads_once(http: httpx.AsyncClient) -> None:
    await load(http, "/people/csv?system=crm", "external_id,name\nP-2,Li\n")
    for kind in LOADABLE:
        rows = kind.example.count("\n") - 1
        assert counts(await load(http, f"/{kind.path}/csv?system=crm", kind.example)) == (rows, 0, 0, 0)
        assert counts(await load(http, f"/{kind.path}/csv?system=crm", kind.example)) == (0, 0, rows, 0)


async def test_parents_may_come_later_and_a_row_changes_only_what_it_says(http: httpx.AsyncClient, shop: Shop) -> None:
    first = await load(
        http,
        "/accounts/csv?system=crm",
        "\ufeffexternal_id,name,parent,flags,attributes.employees\r\n"
        'C,Shop,B,,\r\nB,"Branch, east",A,doubtful; double,7\r\n\r\nA,Group,,,\r\n',
    )
    assert counts(first) == (3, 0, 0, 0)
    assert [row["line"] for row in first["items"]] == [2, 3, 5]  # type: ignore[attr-defined]
    shop.wrote(str(first["position"]))
    found = await shop.get("/accounts/by-external/crm/C")
    assert [above["name"] for above in found["above"]] == ["Group", "Branch, east"]
    second = await load(http, "/accounts/csv?system=crm", "external_id,name\nB,Branch\nA,Group\n")
    assert counts(second) == (0, 1, 1, 0)
    shop.wrote(str(second["position"]))
    branch = await shop.get("/accounts/by-external/crm/B")
    assert (branch["flags"], branch["attributes"], branch["parent_id"] is None) == (
        ["doubtful", "double"],
        {"employees": "7"},
        False,
    )


async def test_refused_rows_are_named_and_the_others_are_taken(http: httpx.AsyncClient, shop: Shop) -> None:
    text = (
        "external_id,name,parent,unified_social_credit_code,occurred_at\n"
        "A,Good,,,2017-01-02T09:00:00+08:00\n"
        "B,,,,\n"
        "C,Lost,nobody,,\n"
        "D,Code,,123,\n"
        "E,Round,F,,\n"
        "F,And round,E,,\n"
        "G,Under the circle,F,,\n"
        ",No id,,,\n"
        "H,Early,,,1492-01-01T00:00:00Z\n"
    )
    answer = await load(http, "/accounts/csv?system=crm", text)
    assert counts(answer) == (1, 0, 0, 8)
    problems = {row["line"]: row["problem"] for row in answer["items"] if row.get("problem")}  # type: ignore[attr-defined]
    told = {line: (one["code"], one["errors"][0]["field"]) for line, one in problems.items()}
    assert told == {
        3: ("invalid_request", "name"),
        4: ("unknown_account", "parent"),
        5: ("invalid_request", "unified_social_credit_code"),
        6: ("cycle", "parent"),
        7: ("cycle", "parent"),
        8: ("unknown_account", "parent"),
        9: ("invalid_request", "external_id"),
        10: ("invalid_request", "occurred_at"),
    }
    shop.wrote(str(answer["position"]))
    assert (await shop.get("/accounts"))["total"] == 1


async def test_a_dry_run_knows_of_parents_that_it_would_make_and_writes_nothing(
    http: httpx.AsyncClient, service: RunningService
) -> None:
    text = "external_id,name,parent\nB,Branch,A\nA,Group,\nC,Lost,nobody\n"
    answer = await load(http, "/accounts/csv?system=crm&dry_run=true", text)
    assert (counts(answer), answer["dry_run"], answer["position"]) == ((2, 0, 0, 1), True, None)
    assert await service.backend.store.head() == 0


async def test_a_retry_of_a_load_without_external_ids_makes_nothing_twice(
    http: httpx.AsyncClient, service: RunningService
) -> None:
    text = "name,email\nWang,wang@example.com\nLi,\n"
    first = await load(http, "/people/csv", text, **{"Idempotency-Key": "load-1"})
    head = await service.backend.store.head()
    assert await load(http, "/people/csv", text, **{"Idempotency-Key": "load-1"}) == first
    assert (first["created"], await service.backend.store.head()) == (2, head)


async def test_prices_are_read_exactly(http: httpx.AsyncClient, shop: Shop) -> None:
    text = (
        "external_id,name,list_price,currency\n"
        'A,One,"1,054.10",USD\nB,Two,1054,JPY\nC,Three,1.005,USD\nD,Four,-1,USD\nE,Five,1e9,USD\nF,Six,5,\nG,Seven,,\n'
    )
    answer = await load(http, "/products/csv?system=erp", text)
    assert [row["status"] for row in answer["items"]] == [201, 201, 422, 422, 422, 422, 201]  # type: ignore[attr-defined]
    shop.wrote(str(answer["position"]))
    prices = [one["list_price"] for one in (await shop.get("/products", sort="name"))["items"]]
    assert prices == [{"minor": 105_410, "currency": "USD"}, None, {"minor": 1054, "currency": "JPY"}]


UNREADABLE: list[tuple[bytes, str, int, str, str | None]] = [
    (b"", "?system=crm", 422, "no_header", None),
    (b"external_id,name\nA,\xcd\xf5\n", "?system=crm", 422, "bad_encoding", "line 2, column 3"),
    ("external_id,name\nA,x\n".encode("utf-16"), "?system=crm", 422, "bad_encoding", "UTF-16"),
    (b'external_id,name\nA,"x\nB,y\n', "?system=crm", 422, "bad_csv", "line 2: column 3"),
    (b'external_id,name\nA,x\n"B""\n,",y"x"\nC,"x"y\n', "?system=crm", 422, "bad_csv", "line 5: column 6"),
    (b"external_id,name\nA,x,y\n", "?system=crm", 422, "bad_csv", "line 2"),
    (b"external_id,name,name\nA,x,y\n", "?system=crm", 422, "duplicate_column", "column 3"),
    (b"external_id,name,colour\nA,x,y\n", "?system=crm", 422, "unknown_column", "column 3"),
    (b"external_id;name\nA;x\n", "?system=crm", 422, "unknown_column", "column 1"),
    (b"external_id,industry\nA,x\n", "?system=crm", 422, "missing_column", "name"),
    (b"name,industry\nA,x\n", "?system=crm", 422, "missing_column", "external_id"),
    (b"external_id,name\nA,x\n", "", 422, "system_missing", "column 1"),
    (b"name\n" + b"x\n" * 10_001, "", 422, "too_many_rows", None),
    (b"name\n" + b"x" * 5 * 1024 * 1024, "", 413, "body_too_large", None),
    (b"name\nx\n", "?system=%00", 422, "invalid_request", None),
]


async def test_a_table_that_cannot_be_read_is_refused_whole(http: httpx.AsyncClient, service: RunningService) -> None:
    for content, query, status, code, where in UNREADABLE:
        told = problem(await http.post(f"/accounts/csv{query}", content=content, headers=CSV), status, code)
        assert where is None or where in told["detail"], told
    assert await service.backend.store.head() == 0


async def test_a_table_in_another_form_or_by_another_person_is_refused(
    http: httpx.AsyncClient, service: RunningService
) -> None:
    content = b"name\nx\n"
    for media_type in ("application/json", "text/csv; header=present; charset=gbk", "text/\xe9"):
        answer = await http.post(
            "/accounts/csv", content=content, headers=[(b"content-type", media_type.encode("latin-1"))]
        )
        problem(answer, 415, "unsupported_media_type")
    problem(
        await http.post("/accounts/csv", content=content, headers=CSV | {"If-Match": '"1"'}), 400, "if_match_of_many"
    )
    async with service.client("li", "seller") as seller:
        problem(await seller.post("/people/csv", content=content, headers=CSV), 403, "role_missing")
