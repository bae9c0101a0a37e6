"""topics.yaml: read strictly, and held to the contracts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.contracts.event import Contract

TOPICS_FILE = "shared/contracts/topics.yaml"


class Topic(BaseModel):
    """What is promised about a topic, whichever log carries it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    description: str = Field(min_length=1)
    producer: str
    consumers: list[str]
    key: Literal["stream_id"]
    partitions: int = Field(ge=1)
    retention: Literal["unlimited"]
    compacted: Literal[False]


_TOPICS = TypeAdapter(dict[str, Topic])


def read_topics(root: Path) -> dict[str, Topic]:
    """Topic by name. Raises ValueError that says what is wrong in the file, or that it is missing."""
    file = root / TOPICS_FILE
    try:
        return _TOPICS.validate_python(yaml.safe_load(file.read_text("utf-8")) or {})
    except FileNotFoundError:
        raise ValueError(f"{TOPICS_FILE} is missing") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"{TOPICS_FILE}: {faults}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{TOPICS_FILE} is not YAML: {' '.join(str(error).split())}") from None


def topic_problems(topics: dict[str, Topic], contracts: Sequence[Contract]) -> list[str]:
    """Where the topics and the contracts disagree."""
    problems: list[str] = []
    known = {contract.topic: contract.service for contract in contracts}
    for name, service in sorted(known.items()):
        if name not in topics:
            problems.append(f"{TOPICS_FILE}: the topic {name} of {service} is missing")
        elif topics[name].producer != service:
            problems.append(f"{TOPICS_FILE}: {name} is produced by {service}, not by {topics[name].producer}")
    problems += [
        f"{TOPICS_FILE}: nothing publishes {name}; there is no contract for it"
        for name in sorted(topics.keys() - known.keys())
    ]
    return problems
