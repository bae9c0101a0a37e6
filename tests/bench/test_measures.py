"""Measures work, with sizes far too small to judge by, on a real server. All of them: `make bench BENCH_ARGS=--quick`."""

import pytest

from bench.harness import Bench
from bench.measures import MEASURES
from bench.servers import open_servers


@pytest.mark.parametrize("name", ["reads", "growth"])
async def test_a_measure_gives_rows_without_a_verdict(name: str, postgres: str) -> None:
    async with open_servers(postgres) as servers:
        rows = await MEASURES[name](Bench(servers, quick=True))
    assert rows
    assert {row.met for row in rows} == {None}
