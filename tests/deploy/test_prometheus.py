"""What Prometheus scrapes is what the rules ask about and the list of figures tells; the rules are right, and lead to a runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.catalogue import SERVICES
from services.opportunity.app import SERVICE as OPPORTUNITY
from shared.contracts.event import Contract
from shared.kit.clock import SystemClock
from shared.projections.reactors import Reactor, ReactSink
from shared.scheduler.worker import Scheduler
from shared.service.loop import watched
from shared.service.thresholds import DUE_LATE_SECONDS, LATE_SECONDS
from shared.web.auth import RemoteKeys
from tests.shared.web.desk import desk

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = [
    rule
    for file in ("alerts.yml", "apart.yml")
    for rule in yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))["groups"][0]["rules"]
]
NAME = r"\b(?:keyfold|process)_[a-z_]+"
OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")


async def exported(database: str) -> dict[str, tuple[str, str]]:
    """Name → kind and help text of every figure of a process that does all there is to do."""
    async with desk(database) as service, service.client() as client:
        backend = service.backend
        ReactSink(backend.engine, Reactor("none", sources=[Contract("none")]), backend.commands, backend.figures)
        Scheduler(backend.engine, [], SystemClock(), backend.figures)
        RemoteKeys("http://127.0.0.1:1", figures=backend.figures)
        for one in OPPORTUNITY.gauges:
            backend.figures.gauge(one.name, one.about)
        async with watched([backend.figures]):
            text = (await client.get("/metrics")).text
    found: dict[str, tuple[str, str]] = {}
    for name, about in re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE):
        [kind] = re.findall(rf"^# TYPE {name} (\w+)$", text, re.MULTILINE)
        if not name.endswith("_created"):
            found[name] = kind, about
    assert all(f'service="{backend.service.name}"' in line for line in text.splitlines() if not line.startswith("#"))
    return found


async def test_every_figure_is_documented_and_every_rule_asks_about_one(database: str) -> None:
    found = await exported(database)
    told = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    assert {name: (kind, about) for name, kind, about in told} == found
    asked = {OF_HISTOGRAMS.sub("", name) for rule in RULES for name in re.findall(NAME, rule["expr"])}
    assert asked - found.keys() == set()


def test_each_rule_tells_how_bad_what_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["for"], rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert re.fullmatch(r"deploy/runbooks/[a-z-]+\.md", rule["annotations"]["runbook"]), rule["alert"]
        assert (ROOT / rule["annotations"]["runbook"]).is_file(), rule["alert"]


def test_every_process_is_a_job_and_missed_when_it_is_gone() -> None:
    jobs = {f"keyfold-{service}-{kind}" for service in SERVICES for kind in ("api", "worker")}
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert {one["job_name"] for one in scraped} == jobs
    asked = {rule["alert"]: rule["expr"] for rule in RULES}
    assert set(re.findall(r'absent\(up\{job="([a-z-]+)"\}\)', asked["KeyfoldProcessGone"])) == jobs
    relays = re.findall(r'absent\(keyfold_relay_leading\{service="([a-z]+)"\}\)', asked["KeyfoldNobodyPublishes"])
    assert set(relays) == set(SERVICES)


def test_thresholds_are_those_of_keyfold_lag() -> None:
    limits = {rule["alert"]: float(rule["expr"].rsplit(" ", 1)[1]) for rule in RULES if rule["alert"].endswith("Late")}
    assert limits == {
        "KeyfoldRelayLate": LATE_SECONDS, "KeyfoldReaderLate": LATE_SECONDS, "KeyfoldDueLate": DUE_LATE_SECONDS,
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "config", "embedded.yml"],
        ["check", "rules", "alerts.yml", "apart.yml"],
        ["test", "rules", "alerts.test.yml"],
    ],
)
def test_prometheus_itself_takes_them(arguments: list[str]) -> None:
    done: Any = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
