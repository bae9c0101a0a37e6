"""What Keyfold publishes is generated from its code, fits its own schemas, and keeps to topics.yaml."""

import importlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from shared.contracts.event import Envelope, encode
from shared.contracts.tooling import check, discover
from shared.contracts.tooling.asyncapi import HEADERS, MAY_BE_MISSING
from shared.contracts.tooling.published import CONTRACTS_FOLDER, EXPECTED
from shared.contracts.tooling.topics import Topic, read_topics
from shared.kit.ids import new_id
from shared.log.cloudevents import encode_record
from shared.log.port import PARTITIONS

ROOT = Path(__file__).parents[2]
CONTRACTS = {contract.service: contract for contract in discover()}
TOPICS = read_topics(ROOT)
EXAMPLES = sorted(
    path for path in (ROOT / CONTRACTS_FOLDER).glob("*/examples/*/*.json") if not path.name.endswith(EXPECTED)
)


def test_schemas_examples_topics_and_the_asyncapi_document_are_up_to_date() -> None:
    assert check(ROOT, list(CONTRACTS.values())) == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_an_example_fits_its_schema_and_survives_the_code(file: Path) -> None:
    name, _, version = file.parent.name.rpartition(".v")
    contract = CONTRACTS[file.parents[2].name]
    schema = orjson.loads((file.parents[2] / "schemas" / f"{file.parent.name}.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(orjson.loads(file.read_bytes()), schema)
    event = contract.decode(name, int(version), file.read_bytes())
    assert contract.decode(name, event.type_version, encode(event)) == event


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS.keys())
def test_a_topic_has_the_frozen_number_of_partitions(topic: Topic) -> None:
    assert topic.partitions == PARTITIONS


def test_the_consumers_of_a_topic_are_the_services_that_read_it() -> None:
    read: dict[str, set[str]] = {name: set() for name in TOPICS}
    for app in sorted((ROOT / "services").glob("*/app.py")):
        service: Any = importlib.import_module(f"services.{app.parent.name}.app").SERVICE
        for reader in (*service.projections, *service.reactors):
            for source in reader.sources:
                read[source.topic].add(service.name)
    assert {name: sorted(topic.consumers) for name, topic in TOPICS.items()} == {
        name: sorted(services) for name, services in read.items()
    }


def test_the_asyncapi_document_describes_the_headers_that_are_sent() -> None:
    moment = datetime(2017, 3, 1, tzinfo=UTC)
    least = Envelope(1, new_id(), "shop-1", 1, "shop.sold", 1, b"{}", moment, moment, "me", new_id(), None)
    full = replace(least, causation_id=new_id(), traceparent="00-1-2-00")

    def sent(envelope: Envelope, command: str | None = None) -> set[str]:
        return set(encode_record(envelope, service="shop", topic="t", partition=0, previous=0, command=command).headers)

    assert sent(full, "{}") == HEADERS.keys()
    assert sent(least) == HEADERS.keys() - MAY_BE_MISSING
