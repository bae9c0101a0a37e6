"""The log of a process: one JSON object a line, with its trace, and nothing that is secret."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPEAK = """
import logging, sys, structlog
from shared.kit.telemetry import configure_logging

configure_logging(sys.argv[1], sys.argv[2])
log = structlog.get_logger("test")
log.debug("whispered")
log.info("said", n=1, odd=object(), zh="大客户")
logging.getLogger("library").info("chatter")
logging.getLogger("library").warning("from a %s", "library")
with structlog.contextvars.bound_contextvars(trace_id="t1"):
    secret = "hun" + "ter2"
    try:
        raise ValueError("on two\\nlines")
    except ValueError:
        log.exception("failed")
    try:
        raise KeyError("k")
    except KeyError:
        logging.getLogger("library").exception("failed too")
"""


def spoken(level: str, style: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SPEAK, level, style], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "", "the log goes to standard error; standard output is for answers"
    return done.stderr


def test_a_line_is_a_json_object_with_time_level_and_trace() -> None:
    lines = [json.loads(line) for line in spoken("info", "json").splitlines()]
    assert [line["event"] for line in lines] == ["said", "from a library", "failed", "failed too"]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", line["timestamp"])
    said, library, failed, too = lines
    assert (said["level"], said["n"], said["zh"]) == ("info", 1, "大客户")
    assert (library["level"], library["logger"]) == ("warning", "library")
    assert failed["trace_id"] == too["trace_id"] == "t1"
    assert "ValueError: on two" in failed["exception"]
    assert "KeyError" in too["exception"]
    assert "trace_id" not in said


@pytest.mark.parametrize(
    ("level", "first"), [("debug", "whispered"), ("warning", "from a library"), ("error", "failed")]
)
def test_less_than_the_level_is_not_written(level: str, first: str) -> None:
    assert json.loads(spoken(level, "json").splitlines()[0])["event"] == first


def test_for_people_it_is_text_without_local_variables() -> None:
    text = spoken("info", "text")
    assert "said" in text
    assert "ValueError" in text
    assert "hunter2" not in text
