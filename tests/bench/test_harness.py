"""How figures are taken, paired and told."""

from pathlib import Path

import pytest

from bench import report
from bench.harness import Bench, Row, Samples, interleaved, percentile
from bench.servers import open_servers


def test_a_ratio_is_taken_round_by_round() -> None:
    ratio = Samples((10.0, 2.0, 9.0)).over(Samples((5.0, 1.0, 3.0)))
    assert (ratio.figures, ratio.median) == ((2.0, 2.0, 3.0), 2.0)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(share: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == expected


async def test_every_round_begins_with_another_contender_and_the_first_does_not_count() -> None:
    order: list[str] = []

    async def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    async with open_servers() as servers:
        found = await interleaved(Bench(servers), {"a": lambda: run("a"), "b": lambda: run("b")})
    assert "".join(order) == "ab" + "ab" + "ba" + "ab" + "ba" + "ab"
    assert found["a"].figures == (3.0, 6.0, 7.0, 10.0, 11.0)


def test_the_page_keeps_what_people_wrote_around_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"# Speed\n\nBefore.\n\n{report.BEGIN}\nold\n{report.END}\n\nAfter.\n", encoding="utf-8")
    row = Row("append", "append", "9 events/s", "COPY", 0.5, "≥ 0.4", True)
    report.write_page([row], {"processor": "2 cores"}, "2026-01-31", ["relay: no broker"], page)
    text = page.read_text(encoding="utf-8")
    for expected in (
        "Before.",
        "After.",
        "2026-01-31",
        "2 cores",
        "| append | 9 events/s | COPY | 0.50 | ≥ 0.4 | met |",
    ):
        assert expected in text
    assert "Not measured: relay: no broker" in text
    assert "old" not in text
