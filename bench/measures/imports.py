"""`keyfold import crm-csv` of an 8,800-row export, as users run it: beside a running `keyfold up`, until the command is back."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path

from bench.export import OPPORTUNITIES, write_export
from bench.harness import Bench, Row, Samples
from bench.ports import free_port
from bench.servers import KEYFOLD, keyfold


async def measure(bench: Bench) -> Sequence[Row]:
    rows = bench.size(OPPORTUNITIES, 40)
    export = bench.servers.folder / "export"
    await asyncio.to_thread(write_export, export, rows)
    folders = [bench.servers.folder / f"import-{number}" for number in range(bench.rounds)]
    whole = Samples(tuple([await _imported(folder, export, rows) for folder in folders]))
    return [
        Row(
            "imports", f"import of a {rows:,}-row export", f"{whole.median:.1f} s", "", None, "< 10 s",
            bench.judge(whole.median < 10),
            f"{whole.spread} s; from the command's start until everything shows in every read model",
        )
    ]  # fmt: skip


async def _imported(data: Path, export: Path, rows: int) -> float:
    """Seconds. Raises RuntimeError unless every row is taken and shown."""
    environment = {"KEYFOLD_DATA": str(data), "KEYFOLD_PORT": str(free_port())}
    async with keyfold("up", "--no-demo", says="Ctrl-C", **environment):
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            KEYFOLD, "import", "crm-csv", export, "--json", env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        seconds = time.perf_counter() - began
    report = json.loads(output)
    deals = next(row for row in report["summary"] if row["file"] == "sales_pipeline.csv")
    if deals["taken"] != rows or not report["visible"]:
        raise RuntimeError(f"the import was not complete: {report['summary']}, {report['notes']}")
    return seconds
