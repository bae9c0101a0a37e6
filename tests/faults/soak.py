"""The long form of the faults: every promise again and again with fresh seeds and a stronger load, and figures at the end.

    python -m tests.faults.soak [--minutes 30] [--seed N] [--json]

One PostgreSQL server and one broker serve all rounds; whatever a test kills is its own. Ends with 1 when a promise was broken.
"""

import argparse
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from shared.kit.postgres_server import start_postgres
from shared.kit.telemetry import configure_logging
from shared.testing.servers import NoKafka, _local_broker
from tests.faults.chaos import BOOK, SEED, SOAK
from tests.faults.processes import ROOT

LONGEST_ROUND = 900.0  # seconds: whoever has not ended by then hangs
FIGURES = ("rounds", "seconds", "kills", "acks", "checked", "violations")


@dataclass
class Promise:
    """The figures of one file of tests, and what went wrong in which round."""

    name: str
    figures: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """The environment that names them. Without a broker the tests that need one are skipped, and that is said."""
    with ExitStack() as stack:
        server = start_postgres(folder / "postgres")
        stack.callback(server.stop)
        named = {"KEYFOLD_DATABASE_URL": server.dsn()}
        if "KEYFOLD_KAFKA" in os.environ:
            named["KEYFOLD_KAFKA"] = os.environ["KEYFOLD_KAFKA"]
        else:
            try:
                broker = _local_broker(folder / "kafka")
            except NoKafka as problem:
                print(f"without Kafka: {problem}", file=sys.stderr)
            else:
                stack.callback(broker.stop)
                named["KEYFOLD_KAFKA"] = str(broker.start())
        yield named


def one_round(promise: Promise, seed: int, minutes: float, named: dict[str, str], folder: Path) -> None:
    book, out = folder / "book", folder / f"{promise.name}-{seed}.out"
    book.unlink(missing_ok=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", f"tests/faults/test_{promise.name}.py", "-q"]
    command += ["--basetemp", str(folder / "rounds"), "--show-capture=no"]
    environment = os.environ | named | {SEED: str(seed), SOAK: f"{minutes:g}", BOOK: str(book)}
    with out.open("wb") as said:
        try:
            status = subprocess.run(
                command, check=False, cwd=ROOT, env=environment, stdout=said, stderr=said, timeout=LONGEST_ROUND
            ).returncode
        except subprocess.TimeoutExpired:
            status = 1
    promise.figures["rounds"] += 1
    promise.figures["seconds"] += round(time.monotonic() - began)
    violations = 0
    for line in book.read_bytes().splitlines() if book.exists() else ():
        row = orjson.loads(line)
        violations += row["violations"]
        promise.figures.update({name: row[name] for name in ("kills", "acks", "checked")})
    if status == 0:
        out.unlink()
        return
    promise.figures["violations"] += max(violations, 1)
    kept = shutil.copytree(folder / "rounds", folder / "kept" / f"{promise.name}-{seed}", dirs_exist_ok=True)
    promise.found.append(f"{promise.name}: {SEED}={seed}, said in {out}, files in {kept}")


def soak(minutes: float, seed: int, folder: Path) -> list[Promise]:
    names = sorted(file.stem.removeprefix("test_") for file in Path(__file__).parent.glob("test_*.py"))
    promises, seeds = [Promise(name) for name in names], random.Random(seed)
    until = time.monotonic() + minutes * 60
    with servers(folder) as named:
        while True:
            for promise in seeds.sample(promises, len(promises)):
                one_round(promise, seeds.randrange(1_000_000), minutes, named, folder)
                told = f"{promise.name}: {promise.figures['seconds']} s, {promise.figures['violations']} violations"
                print(f"{time.strftime('%H:%M:%S')} {told}", file=sys.stderr, flush=True)
                if time.monotonic() > until:
                    return promises


def show(promises: list[Promise], seed: int, as_json: bool) -> None:
    total: Counter[str] = Counter()
    for promise in promises:
        total.update(promise.figures)
    if as_json:
        rows = [
            {"promise": one.name, "found": one.found} | {name: one.figures[name] for name in FIGURES}
            for one in promises
        ]
        print(json.dumps({"seed": seed, "promises": rows, "total": {name: total[name] for name in FIGURES}}))
        return
    table = Table("promise", *FIGURES, title=f"Soak with {SEED}={seed}")
    for name, figures in [*((one.name, one.figures) for one in promises), ("all", total)]:
        table.add_row(name, *(f"{figures[figure]:,}" for figure in FIGURES))
    console = Console(width=110)
    console.print(table)
    for promise in promises:
        for found in promise.found:
            console.print(found, markup=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Faults for as long as you like.")
    parser.add_argument("--minutes", type=float, default=float(os.environ.get(SOAK) or 30))
    parser.add_argument("--seed", type=int, default=int(os.environ.get(SEED) or secrets.randbelow(1_000_000)))
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args()
    configure_logging("error", "text")  # standard output is for the figures
    folder = Path(tempfile.mkdtemp(prefix="keyfold-soak-"))
    print(f"{SEED}={options.seed}", file=sys.stderr, flush=True)
    promises = soak(options.minutes, options.seed, folder)
    show(promises, options.seed, options.json)
    broken = any(promise.figures["violations"] for promise in promises)
    if not broken:
        shutil.rmtree(folder, ignore_errors=True)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
