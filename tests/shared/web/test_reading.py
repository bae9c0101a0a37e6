"""Reading: one snapshot, pages and cursors, moments, languages, and the history of events."""

from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import delete, func, select, text

from shared.kit.calendar import BusinessCalendar
from shared.projections import tables
from shared.service.backend import migrate_service, open_backend
from shared.testing.apps import SECRET, RunningService
from shared.web.language import label, preferred
from shared.web.paging import decode_cursor, encode_cursor
from shared.web.problems import ProblemError
from shared.web.reading import moment_of
from tests.shared.web.desk import SERVICE, desk, enquiry, enquiry_list


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def filled(client: httpx.AsyncClient, count: int) -> dict[str, str]:
    """Enquiries e0 … ; the header with which a read sees them all."""
    items = [{"id": f"e{n}", "title": f"Pumps {n}", "owner": "mei" if n % 2 else "li"} for n in range(count)]
    answer = await client.post("/enquiries:batch", json=items)
    return {"Keyfold-Position": answer.json()["position"]}


# --- positions


@pytest.mark.parametrize("position", ["desk/3@500", "desk/12@1", "desk/3@1,desk/99@1"])
async def test_a_position_that_nothing_was_ever_written_at_is_not_waited_for(database: str, position: str) -> None:
    async with desk(database) as service, service.client() as client:
        await filled(client, 1)
        answer = await client.get("/enquiries", headers={"Keyfold-Position": position})
        assert code(answer) == (400, "bad_position")


# --- snapshots


async def test_all_reads_of_an_answer_see_one_moment(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        seen = await filled(client, 1)
        await client.get("/enquiries", headers=seen)
        async with service.backend.reads.connect(enquiry_list) as connection:
            before = await connection.scalar(select(func.count()).select_from(enquiry))
            made = await client.post("/enquiries", json={"id": "later", "title": "x"})
            after = {"Keyfold-Position": made.headers["Keyfold-Position"]}
            assert (await client.get("/enquiries/later", headers=after)).status_code == 200
            assert await connection.scalar(select(func.count()).select_from(enquiry)) == before == 1


async def test_a_read_cannot_write(database: str) -> None:
    async with desk(database, worker=False) as service, service.backend.reads.connect(enquiry_list) as connection:
        with pytest.raises(Exception, match="read-only transaction"):
            await connection.execute(text("CREATE TABLE x ()"))


async def test_a_read_model_that_was_never_built_is_told_to_come_back(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        async with service.backend.engine.begin() as connection:
            await connection.execute(delete(tables.generation))
        answer = await client.get("/enquiries")
        assert code(answer) == (503, "not_built")
        assert answer.headers["Retry-After"] == "1"
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["desk"]["read_models"] == "not built"


async def test_migrating_twice_changes_nothing(database: str) -> None:
    async with desk(database, worker=False) as service:
        backend = service.backend
        await migrate_service(SERVICE, database, backend.log, SECRET, backend.calendar)
        assert await backend.store.head() == 0


# --- pages


async def test_pages_show_every_row_once(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        seen = await filled(client, 5)
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            answer = await client.get(
                "/enquiries", params={"limit": 2} | ({"cursor": cursor} if cursor else {}), headers=seen
            )
            found += [item["enquiry_id"] for item in answer.json()["items"]]
            cursor, pages = answer.json()["next_cursor"], pages + 1
        assert (found, pages) == (["e0", "e1", "e2", "e3", "e4"], 3)
        whole = await client.get("/enquiries", params={"limit": 5}, headers=seen)
        assert whole.json()["next_cursor"] is None


async def test_a_cursor_of_another_question_is_refused(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        seen = await filled(client, 3)
        cursor = (await client.get("/enquiries", params={"limit": 1}, headers=seen)).json()["next_cursor"]
        answer = await client.get("/enquiries", params={"limit": 1, "cursor": cursor, "owner": "mei"})
        assert code(answer) == (400, "bad_cursor")
        assert answer.json()["errors"][0]["field"] == "cursor"
        for tampered in ("", "x", cursor[:-3], cursor + "AA", "é", "WzFd", "bnVsbA", "x" * 2_000):
            assert code(await client.get("/enquiries", params={"cursor": tampered})) == (400, "bad_cursor")
        assert code(await client.get("/enquiries", params={"cursor": "x" * 2_001})) == (422, "invalid_request")


@pytest.mark.parametrize("after", [["a", "b"], [], [["a"]], [{"a": 1}]])
def test_a_cursor_holds_as_many_plain_values_as_are_sorted_by(after: list[object]) -> None:
    with pytest.raises(ProblemError):
        decode_cursor("question", encode_cursor("question", after), 1)


def test_without_a_cursor_there_is_nothing_to_come_after() -> None:
    assert decode_cursor("question", None, 1) is None
    assert decode_cursor("question", encode_cursor("question", ["a"]), 1) == ["a"]


@pytest.mark.parametrize("limit", ["0", "201", "1000000", "-1", "many"])
async def test_a_page_has_a_size(database: str, limit: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        assert code(await client.get("/enquiries", params={"limit": limit})) == (422, "invalid_request")


# --- moments and languages

CALENDAR = BusinessCalendar("Asia/Shanghai")


def test_a_day_means_its_end_by_the_business_calendar() -> None:
    assert moment_of("2017-06-30", "as_of", CALENDAR) == datetime(2017, 6, 30, 15, 59, 59, 999_999, tzinfo=UTC)
    assert moment_of("2017-06-30T12:00:00+08:00", "as_of", CALENDAR) == datetime(2017, 6, 30, 4, tzinfo=UTC)
    assert moment_of(None, "as_of", CALENDAR) is None


@pytest.mark.parametrize(
    "said",
    [
        "", "yesterday", "2017-02-30", "2017-06-30T12:00:00", "9999-12-31", "0001-01-01", "99999-01-01", "2017-13-01",
        "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1e400", "10000000000000000000000000000000000000", "٢٠١٧-٠٦-٣٠",
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused(said: str) -> None:
    with pytest.raises(ProblemError) as refused:
        moment_of(said, "as_of", CALENDAR)
    assert (refused.value.status, refused.value.code) == (400, "bad_moment")
    assert refused.value.errors[0].field == "as_of"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"), ("", "en"), ("zh-CN", "zh"), ("zh-TW,zh;q=0.9", "zh"), ("en,zh;q=0.5", "en"), ("fr,zh;q=0.1", "zh"),
        ("zh;q=0", "en"), ("zh;q=high", "en"), ("EN;q=0.1,ZH;q=0.2", "zh"), ("fr-FR", "en"), ("*", "en"), ("," * 9_999, "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_better_liked(header: str | None, language: str) -> None:
    assert preferred(header) == language


def test_a_label_falls_back() -> None:
    assert label({"en": "Won", "zh": "赢单"}, "zh") == "赢单"
    assert label({"en": "Won"}, "zh") == "Won"
    assert label({"zh": "赢单"}, "en") == "赢单"
    assert label({}, "en", "won") == "won"


# --- events


async def test_the_history_is_read_in_order_to_its_head(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        await filled(client, 5)
        first = (await client.get("/events", params={"limit": 3})).json()
        assert [item["position"] for item in first["items"]] == [1, 2, 3]
        assert (first["next_after"], first["head"]) == (3, 5)
        rest = (await client.get("/events", params={"after": first["next_after"]})).json()
        assert [item["position"] for item in rest["items"]] == [4, 5]
        assert (rest["next_after"], rest["head"]) == (5, 5)
        event = rest["items"][-1]
        assert (event["type"], event["type_version"], event["actor"]) == ("desk.enquiry_opened", 1, "operator")
        assert set(event["data"]) == {"title", "owner"}
        end = (await client.get("/events", params={"after": 5})).json()
        assert (end["items"], end["next_after"], end["head"]) == ([], 5, 5)
        beyond = (await client.get("/events", params={"after": 99})).json()
        assert (beyond["items"], beyond["next_after"], beyond["head"]) == ([], 99, 5)


@pytest.mark.parametrize("query", ["after=-1", "after=x", f"after={2**63}", "limit=0", "limit=1001"])
async def test_a_place_in_the_history_that_cannot_be(database: str, query: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        assert code(await client.get(f"/events?{query}")) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("role", "status"),
    [
        ("seller", 403),
        ("manager", 403),
        ("finance", 403),
        ("operations", 200),
        ("integration", 200),
        ("executive", 200),
    ],
)
async def test_who_may_read_the_history(database: str, role: str, status: int) -> None:
    async with desk(database, worker=False) as service, service.client("somebody", role) as client:
        assert (await client.get("/events")).status_code == status


# --- connections


async def test_a_slow_caller_holds_no_connection(database: str) -> None:
    """The connection is given back before the answer is sent."""
    async with desk(database) as service:
        async with service.client() as client:
            await client.get("/enquiries", headers=await filled(client, 2))
            token = client.headers["Authorization"]
        assert await _checked_out_while_sending(service, token) == [0, 0]


async def _checked_out_while_sending(service: RunningService, token: str) -> list[int]:
    used: list[int] = []
    async with open_backend(
        SERVICE, service.backend.dsn, service.backend.log, SECRET, service.backend.calendar
    ) as alone:  # without the worker, whose connections would be counted
        pool = alone.engine.sync_engine.pool
        service.app.state.backend = alone

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: object) -> None:
            used.append(pool.checkedout())  # type: ignore[attr-defined]

        await service.app(
            {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/enquiries",
                "raw_path": b"/enquiries", "root_path": "", "scheme": "http", "query_string": b"", "server": ("x", 80),
                "client": ("x", 1), "headers": [(b"authorization", token.encode())],
            },
            receive,
            send,
        )  # fmt: skip
    return used
