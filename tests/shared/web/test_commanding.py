"""Commands over HTTP: answers, versions, idempotency, dry runs, batches, position tokens."""

from typing import Any

from tests.shared.web.desk import desk


def opening(name: str = "e1", **more: Any) -> dict[str, Any]:
    return {"id": name, "title": "Pumps", **more}


async def test_an_answer_tells_version_position_and_events(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        made = await client.post("/enquiries", json=opening())
        assert made.status_code == 201, made.text
        body = made.json()
        assert (body["id"], body["created"], body["version"], body["dry_run"]) == ("e1", True, 1, False)
        assert made.headers["ETag"] == '"1"'
        assert made.headers["Location"] == "/enquiries/e1"
        assert made.headers["Keyfold-Position"] == body["position"]
        assert [event["type"] for event in body["events"]] == ["desk.enquiry_opened"]
        seen = await client.get("/enquiries/e1", headers={"Keyfold-Position": body["position"]})
        assert (seen.status_code, seen.json()["title"], seen.headers["ETag"]) == (200, "Pumps", '"1"')
