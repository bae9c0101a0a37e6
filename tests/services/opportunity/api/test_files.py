"""Files over HTTP: taken in, listed, given out; limits, names, who may."""

import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from shared.files.local import LocalFiles
from tests.services.opportunity.api.house import House, done, got, refused

PDF = {"Content-Type": "application/pdf"}
REPORT = "Visit report · 拜访报告".encode()
SHA256 = hashlib.sha256(REPORT).hexdigest()
NAME = "拜访报告 2026-03-12.pdf"


async def sent(
    client: httpx.AsyncClient, opened: str, content: Any = REPORT, headers: dict[str, str] | None = None, **said: Any
) -> httpx.Response:
    asked = {"name": NAME} | said
    response = await client.post(
        f"/opportunities/{opened}/files", params=asked, content=content, headers=PDF | (headers or {})
    )
    if response.is_success and response.json()["position"]:
        client.headers["Keyfold-Position"] = response.json()["position"]
    return response


def kept(house: House) -> list[Path]:
    files = house.service.backend.files
    assert isinstance(files, LocalFiles)
    return [path for path in files.staging.parent.rglob("*") if path.is_file()]


@contextmanager
def having(house: House, **other: Any) -> Iterator[None]:
    """The service as it is when its settings say something else."""
    state = house.service.app.state
    state.backend = replace(house.service.backend, **other)
    try:
        yield
    finally:
        state.backend = house.service.backend


async def test_a_file_is_attached_listed_and_fetched(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        attached = await sent(client, opened, note="Three departments were there")
        assert attached.status_code == 201, attached.text
        answer = attached.json()
        assert answer["created"] is True
        assert [event["type"] for event in answer["events"]] == ["opportunity.file_attached"]
        assert attached.headers["Location"].endswith(f"/opportunities/{opened}/files/{answer['id']}")
        listed = await got(client, f"/opportunities/{opened}/files")
        assert listed["totals"] == {"count": 1, "size": len(REPORT)}
        [item] = listed["items"]
        assert (item["id"], item["name"], item["media_type"], item["size"], item["sha256"], item["note"]) == (
            answer["id"], NAME, "application/pdf", len(REPORT), SHA256, "Three departments were there",
        )  # fmt: skip
        assert (item["attached_by"], item["shows"]) == ("operator", None)
        fetched = await client.get(item["href"])
        assert (fetched.status_code, fetched.content) == (200, REPORT)
        assert fetched.headers["content-type"] == "application/pdf"
        assert fetched.headers["etag"] == f'"{SHA256}"'
        assert fetched.headers["x-content-type-options"] == "nosniff"
        assert fetched.headers["content-length"] == str(len(REPORT))
        disposition = fetched.headers["content-disposition"]
        assert disposition.startswith("attachment; ")
        assert disposition.endswith(f"filename*=UTF-8''{quote(NAME)}")
        known = await client.get(item["href"], headers={"If-None-Match": f'"other", "{SHA256}"'})
        assert (known.status_code, known.content) == (304, b"")
        history = await got(client, f"/opportunities/{opened}/history")
        assert history["items"][0]["event"] == {"code": "opportunity.file_attached", "label": "File attached"}


async def test_a_file_is_the_evidence_of_a_milestone_and_another_is_added_later(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        first = (await sent(client, opened)).json()["id"]
        evidence = {"kind": "file", "note": "The report", "files": [first]}
        step = {"milestone": "information_gathered", "evidence": evidence}
        await done(client, f"/opportunities/{opened}/milestones", step)
        later = await sent(client, opened, b"minutes", name="minutes.txt", stage=1, milestone="information_gathered")
        assert later.status_code == 201, later.text
        page = await got(client, f"/opportunities/{opened}")
        [shown] = page["evidence"]
        assert shown["evidence"]["files"] == [first]
        assert [(one["name"], one["size"]) for one in shown["files"]] == [(NAME, len(REPORT)), ("minutes.txt", 7)]
        assert (await client.get(shown["files"][1]["href"])).content == b"minutes"
        assert [one["id"] for one in page["files"]] == [first, later.json()["id"]]
        assert {"file": True}.items() <= {one["code"]: one["allowed"] for one in page["actions"]}.items()
        unknown = await sent(client, opened, b"x", stage=2, criterion="meeting_agreed")
        await refused(unknown, 409, "not_evidenced")


async def test_evidence_of_a_file_that_hangs_elsewhere_is_refused(house: House) -> None:
    async with house.client() as client:
        opened, other = await house.opened(client), await house.opened(client)
        elsewhere = (await sent(client, other)).json()["id"]
        for files, code in (([elsewhere], "unknown_file"), ([], "no_file")):
            step = {"milestone": "information_gathered", "evidence": {"kind": "file", "note": "x", "files": files}}
            await refused(await client.post(f"/opportunities/{opened}/milestones", json=step), 422, code)


async def test_attached_again_it_is_there_once_and_a_retry_gets_the_first_answer(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        key = {"Idempotency-Key": f"upload-{opened}"}
        first = await sent(client, opened, headers=key)
        retried = await sent(client, opened, headers=key)
        assert retried.headers["Idempotency-Replayed"] == "true"
        assert (retried.status_code, retried.json()) == (201, first.json())
        await refused(await sent(client, opened, b"other bytes", headers=key), 422, "idempotency_key_reused")
        again = await sent(client, opened)
        assert (again.status_code, again.json()["id"], again.json()["events"]) == (200, first.json()["id"], [])
        assert (await got(client, f"/opportunities/{opened}/files"))["totals"]["count"] == 1


async def test_a_dry_run_and_a_refusal_keep_nothing(house: House) -> None:
    async with house.client() as client, house.client("olga", "seller") as stranger:
        opened = await house.opened(client, owner_id=house.ids["ann"])
        before = kept(house)
        content = f"never kept {opened}".encode()
        dry = await sent(client, opened, content, dry_run=True)
        assert (dry.status_code, dry.json()["dry_run"]) == (201, True)
        assert [event["data"]["size"] for event in dry.json()["events"]] == [len(content)]
        await refused(await sent(stranger, opened, content), 403, "not_yours")
        await refused(await sent(client, opened, content, headers={"If-Match": '"99"'}), 412, "stale_version")
        assert kept(house) == before
        assert (await got(client, f"/opportunities/{opened}/files"))["items"] == []


async def test_files_are_seen_by_those_who_see_the_opportunity(house: House) -> None:
    async with house.client("ann", "seller") as ann, house.client("olga", "seller") as olga:
        opened = await house.opened(ann, owner_id=house.ids["ann"])
        file_id = (await sent(ann, opened)).json()["id"]
        olga.headers["Keyfold-Position"] = ann.headers["Keyfold-Position"]
        for path in (f"/opportunities/{opened}/files", f"/opportunities/{opened}/files/{file_id}"):
            assert (await ann.get(path)).status_code == 200
            await refused(await olga.get(path), 403, "not_yours")
        hers = await house.opened(olga, owner_id=house.ids["olga"])
        await refused(await olga.get(f"/opportunities/{hers}/files/{file_id}"), 404, "not_found")
        await refused(await olga.get(f"/opportunities/{file_id}/files"), 404, "not_found")
    async with house.client("fay", "finance") as finance:
        finance.headers["Keyfold-Position"] = ann.headers["Keyfold-Position"]
        assert (await finance.get(f"/opportunities/{opened}/files/{file_id}")).status_code == 200
        await refused(await sent(finance, opened), 403, "role_missing")


async def test_what_is_too_large_is_refused_whether_it_says_so_or_not(house: House) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield bytes(100)

    async with house.client() as client:
        opened = await house.opened(client)
        before = kept(house)
        with having(house, largest_file=1000):
            assert (await sent(client, opened, bytes(1000), dry_run=True)).status_code == 201
            for content in (bytes(1001), chunks()):
                problem = await refused(await sent(client, opened, content), 413, "file_too_large")
                assert "1000" in problem["detail"]
        assert kept(house) == before


async def test_a_file_may_be_larger_than_any_other_body(house: House) -> None:
    content = bytes(range(256)) * 4 * 4096 + b"end"
    async with house.client() as client:
        opened = await house.opened(client)
        answer = (await sent(client, opened, content)).json()
        fetched = await client.get(f"/opportunities/{opened}/files/{answer['id']}")
        assert hashlib.sha256(fetched.content).digest() == hashlib.sha256(content).digest()
        comment = {"text": "x" * (2 * 1024 * 1024)}
        await refused(await client.post(f"/opportunities/{opened}/comments", json=comment), 413, "body_too_large")


async def test_a_large_file_is_never_in_memory_as_a_whole(house: House) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(640):
            yield bytes([number % 256]) * 65_536

    async with house.client() as client:
        opened = await house.opened(client)
        tracemalloc.start()
        try:
            answer = await sent(client, opened, chunks())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert answer.json()["events"][0]["data"]["size"] == 40 * 1024 * 1024
    assert peak < 10 * 1024 * 1024


async def test_what_breaks_off_on_its_way_leaves_nothing(house: House) -> None:
    messages = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])
    answers: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        answers.append(message)

    async with house.client() as client:
        opened, before = await house.opened(client), kept(house)
        request = client.build_request("POST", f"/opportunities/{opened}/files", params={"name": "a"}, headers=PDF)
    scope = {
        "type": "http", "method": "POST", "path": request.url.path, "query_string": request.url.query, "http_version": "1.1",
        "scheme": "http", "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }  # fmt: skip
    await house.service.app(scope, receive, send)
    assert (answers[0]["status"], kept(house)) == (400, before)
    assert b"broken_off" in answers[1]["body"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "multipart/form-data; boundary=x"}, "not_a_file"),
        ({"Content-Type": "pdf"}, "bad_media_type"),
        ({"Content-Type": "text/html<script>"}, "bad_media_type"),
        ({"Content-Type": "x/" + "y" * 200}, "bad_media_type"),
        ({"Content-Encoding": "gzip"}, "encoded_file"),
    ],
)
async def test_what_is_not_the_file_itself_is_refused(house: House, headers: dict[str, str], code: str) -> None:
    async with house.client() as client:
        await refused(await sent(client, await house.opened(client), headers=headers), 415, code)


async def test_the_type_is_kept_without_its_parameters_and_never_guessed(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        html = await sent(client, opened, b"<script>", headers={"Content-Type": "Text/HTML; charset=gbk"}, name="a.pdf")
        fetched = await client.get(f"/opportunities/{opened}/files/{html.json()['id']}")
        assert fetched.headers["content-type"].startswith("text/html")
        assert fetched.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in fetched.headers["content-security-policy"]
        path = f"/opportunities/{opened}/files?name=b"
        plain = await client.post(path, content=b"x")
        assert plain.json()["events"][0]["data"]["media_type"] == "application/octet-stream"


async def test_an_empty_body_is_no_file(house: House) -> None:
    async with house.client() as client:
        await refused(await sent(client, await house.opened(client), b""), 400, "empty_file")


@pytest.mark.parametrize(
    "said",
    [{"name": "../../etc/passwd"}, {"name": "a\\b"}, {"name": ".."}, {"name": ""}, {"name": "a\0"}, {"name": "x" * 256},
     {"note": " "}, {"stage": 0}, {"milestone": "No Code", "stage": 1}],
)  # fmt: skip
async def test_a_name_is_no_path(house: House, said: dict[str, Any]) -> None:
    async with house.client() as client:
        before = kept(house)
        problem = await refused(await sent(client, await house.opened(client), **said), 422, "invalid_request")
        assert [fault["field"] for fault in problem["errors"]] == [next(iter(said))]
        assert kept(house) == before


@pytest.mark.parametrize(
    "said", [{"stage": 1}, {"milestone": "a"}, {"stage": 1, "milestone": "a", "criterion": "b"}, {"criterion": "b"}]
)
async def test_what_a_file_shows_is_said_whole(house: House, said: dict[str, Any]) -> None:
    async with house.client() as client:
        await refused(await sent(client, await house.opened(client), **said), 400, "bad_shown")


async def test_a_name_cannot_break_out_of_its_header(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        answer = (await sent(client, opened, name='"; filename="évil.exe')).json()
        fetched = await client.get(f"/opportunities/{opened}/files/{answer['id']}")
    assert fetched.headers["content-disposition"] == (
        "attachment; filename=\"__ filename__evil.exe\"; filename*=UTF-8''%22%3B%20filename%3D%22%C3%A9vil.exe"
    )


async def test_the_list_has_orders_and_pages(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        for name, size in (("b", 30), ("a", 20), ("c", 10), ("d", 20)):
            await sent(client, opened, bytes(size), name=name)

        async def names(sort: str) -> str:
            found, cursor = "", dict[str, str]()
            while True:
                page = await got(client, f"/opportunities/{opened}/files", sort=sort, limit=3, **cursor)
                assert page["totals"] == {"count": 4, "size": 80}
                found += "".join(one["name"] for one in page["items"])
                if page["next_cursor"] is None:
                    return found
                cursor = {"cursor": page["next_cursor"]}

        assert await names("-attached") == "dcab"
        assert await names("attached") == "bacd"
        assert await names("name") == "abcd"
        assert await names("-name") == "dcba"
        assert await names("size") == "cadb"
        assert await names("-size") == "bdac"
        first = await got(client, f"/opportunities/{opened}/files", sort="name", limit=1)
        wrong = {"sort": "size", "cursor": first["next_cursor"]}
        await refused(await client.get(f"/opportunities/{opened}/files", params=wrong), 400, "bad_cursor")


async def test_where_no_file_can_be_kept_none_is_recorded(house: House, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file stands where the folder should be")
    async with house.client() as client:
        opened = await house.opened(client)
        for files, code in ((LocalFiles(tmp_path / "files"), "files_unavailable"), (None, "no_files")):
            with having(house, files=files):
                problem = await refused(await sent(client, opened), 503, code)
                assert str(tmp_path) not in problem["detail"]
        assert (await got(client, f"/opportunities/{opened}/files"))["items"] == []


async def test_bytes_that_are_lost_or_spoilt_are_told(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        content = f"to be lost {opened}".encode()
        answer = (await sent(client, opened, content)).json()
        [path] = [one for one in kept(house) if one.name == hashlib.sha256(content).hexdigest()]
        path.unlink()
        problem = await refused(await client.get(f"/opportunities/{opened}/files/{answer['id']}"), 500, "file_lost")
        assert str(path.parent) not in problem["detail"]
        assert (await sent(client, opened, content)).status_code == 200
        mended = await client.get(f"/opportunities/{opened}/files/{answer['id']}")
        assert mended.content == content
