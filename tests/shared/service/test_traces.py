"""One trace a fact: from the request through the log to the read model and the reactor, in API and worker, to a real collector."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from shared.contracts.event import Recorded
from shared.eventstore.commands import CommandContext, Item, Work
from shared.eventstore.types import JsonObject
from shared.kit.settings import SettingsError
from shared.kit.tracing import OFF, SpanKind, Tracing, opened_tracing
from shared.projections.reactors import Reaction, Reactor
from shared.projections.rebuild import rebuild
from shared.service.backend import Backend
from shared.service.definition import Service
from shared.testing.apps import RunningService, running
from shared.testing.collector import Collector, collecting
from tests.shared.web.desk import DESK, ENQUIRY, SERVICE, EnquiryClosed, EnquiryRenamed, Opening, enquiry_list, opening

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
TITLE = "hunter2 title"

closer = Reactor("closer", sources=[DESK])


@closer.on(EnquiryRenamed)
async def renamed(reaction: Reaction, e: Recorded[EnquiryRenamed]) -> None:
    async def decide(work: Work) -> JsonObject:
        work.append(ENQUIRY, f"{e.entity_id}-closed", EnquiryClosed())
        return {"id": e.entity_id}

    await reaction.run({"enquiry": e.entity_id}, decide)


CLOSING = replace(SERVICE, reactors=(closer,))


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    quiet = {name: logging.getLogger(name).level for name in ("opentelemetry.exporter", "opentelemetry.sdk", "urllib3")}
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield found
    for name, level in quiet.items():
        logging.getLogger(name).setLevel(level)


@asynccontextmanager
async def apart(database: str, service: Service = CLOSING) -> AsyncIterator[tuple[RunningService, Backend]]:
    """An API, and a worker that shares nothing with it but the database and the log."""
    async with (
        opened_tracing("desk-worker") as behind,
        running(service, database, database, tracing=behind) as worker,
        opened_tracing("desk-api") as front,
        running(service, database, database, worker=False, tracing=front) as api,
    ):
        yield api, worker.backend


async def shown(client: httpx.AsyncClient, path: str, made: httpx.Response) -> None:
    seen = await client.get(
        path, headers={"Keyfold-Position": made.headers["Keyfold-Position"], "traceparent": UNSAMPLED}
    )
    assert seen.status_code == 200, seen.text


async def test_one_request_is_one_trace_through_api_log_and_worker(database: str, collector: Collector) -> None:
    async with apart(database) as (api, _), api.client() as client:
        made = await client.post(
            "/enquiries?hunter2=1", json={"id": "e1", "title": TITLE}, headers={"traceparent": SAMPLED}
        )
        assert made.status_code == 201, made.text
        await shown(client, "/enquiries/e1", made)
        [event] = await api.backend.store.envelopes(0, 10)
    ours = {span.name: span for span in collector.spans}
    assert len(ours) == len(collector.spans), "each once"
    assert {span.trace_id for span in collector.spans} == {TRACE}
    tree = {name: (span.process, span.kind, span.parent_id) for name, span in ours.items()}
    server, command = ours["POST /enquiries"], ours["command"]
    assert tree == {
        "POST /enquiries": ("desk-api", SERVER, SPAN),
        "command": ("desk-api", INTERNAL, server.span_id),
        "append": ("desk-api", CLIENT, command.span_id),
        "publish keyfold.desk.events": ("desk-worker", PRODUCER, command.span_id),
        "fold enquiry_list": ("desk-worker", CONSUMER, command.span_id),
    }
    assert event.traceparent == f"00-{TRACE}-{command.span_id}-01"
    assert made.headers["traceparent"] == f"00-{TRACE}-{server.span_id}-01"
    fold = ours["fold enquiry_list"].attributes
    assert (fold["keyfold.position"], fold["keyfold.event_type"]) == (1, "desk.enquiry_opened")
    assert fold["keyfold.lag_seconds"] >= 0
    assert "messaging.destination.partition.id" in fold
    assert server.attributes["http.response.status_code"] == 201
    assert "hunter2" not in str(collector.spans)
    assert "e1" not in [value for span in collector.spans for value in span.attributes.values()]


async def test_what_a_reactor_does_is_part_of_the_trace(database: str, collector: Collector) -> None:
    async with apart(database) as (api, worker), api.client() as client:
        await client.post("/enquiries", json={"id": "e1", "title": "x"}, headers={"traceparent": UNSAMPLED})
        made = await client.post("/enquiries/e1/title", json={"title": "y"}, headers={"traceparent": SAMPLED})
        await shown(client, "/enquiries/e1", made)
        async with asyncio.timeout(20):
            while await worker.store.head() < 3:
                await worker.bell.wait(0.1)
    [react] = collector.named("react closer")
    cause = next(span for span in collector.named("command") if span.process == "desk-api")
    effect = next(span for span in collector.named("command") if span.process == "desk-worker")
    assert (react.parent_id, effect.parent_id) == (cause.span_id, react.span_id)
    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert collector.named("POST /enquiries") == [], "an unsampled parent has no spans"


async def test_an_import_is_one_span(database: str, collector: Collector) -> None:
    async with apart(database) as (api, worker), api.client() as client:
        context = CommandContext("import/erp", worker.clock.now(), uuid.uuid4(), traceparent=SAMPLED)
        items: list[Item] = [(context, {}, opening(Opening(id=f"e{n}", title="x"))) for n in range(50)]
        await api.backend.commands.run_bulk(items, [f"enquiry-e{n}" for n in range(50)])
        last = await client.post("/enquiries", json={"id": "last", "title": "x"}, headers={"traceparent": UNSAMPLED})
        await shown(client, "/enquiries/e49", last)
        assert len(await api.backend.store.envelopes(0, 100)) == 51
    assert [span.name for span in collector.spans] == ["import"]


async def test_a_rebuild_has_no_spans(database: str, collector: Collector) -> None:
    async with apart(database) as (api, worker), api.client() as client:
        made = await client.post("/enquiries", json={"id": "e1", "title": "x"}, headers={"traceparent": SAMPLED})
        await shown(client, "/enquiries/e1", made)
        await rebuild(worker.engine, worker.log, enquiry_list)
        last = await client.post("/enquiries", json={"id": "e2", "title": "x"}, headers={"traceparent": UNSAMPLED})
        await shown(client, "/enquiries/e2", last)  # by the new generation
    assert [span.attributes["keyfold.position"] for span in collector.named("fold enquiry_list")] == [1]


async def test_a_collector_that_is_away_costs_spans_and_nothing_else(
    database: str, collector: Collector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    async with opened_tracing("desk") as tracing:
        async with running(SERVICE, database, database, tracing=tracing) as service, service.client() as client:
            for n in range(20):
                made = await client.post(
                    "/enquiries", json={"id": f"e{n}", "title": "x"}, headers={"traceparent": SAMPLED}
                )
                assert made.status_code == 201
            text = (await client.get("/metrics")).text
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 6
    [dropped] = [line for line in text.splitlines() if line.startswith("keyfold_trace_spans_dropped_total")]
    assert float(dropped.rsplit(" ", 1)[1]) > 20
    assert capsys.readouterr().out.count("spans are dropped") == 1


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_BSP_MAX_QUEUE_SIZE", "abc"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999")]
)
async def test_a_variable_that_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match="OTEL_"):
        async with opened_tracing("desk"):
            pass


async def test_a_parent_that_is_not_sampled_has_no_spans_whatever_the_sampler(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    async with opened_tracing("desk") as tracing:
        assert tracing.child("x", UNSAMPLED, SpanKind.INTERNAL, {}) is None
        assert tracing.child("x", None, SpanKind.INTERNAL, {}) is None


async def test_it_is_off_unless_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    async with opened_tracing("desk") as tracing:
        assert tracing is OFF
    assert Tracing().child("x", SAMPLED, 0, {}) is None  # type: ignore[arg-type]
