"""Words are found whatever their script, case and width."""

import pytest

from shared.kit.search import searchable, terms


@pytest.mark.parametrize("query", ["acme", "ＡＣＭＥ", "cme gmbh", "三线", "灌装 acme", "STRASSE"])
def test_a_part_of_a_word_is_enough(query: str) -> None:
    text = searchable(["Acme GmbH", "灌装三线", "Straße"])
    assert all(term in text for term in terms(query))


@pytest.mark.parametrize("query", ["acme x", "三四", "gmbh灌装"])
def test_every_word_must_occur_within_one_text(query: str) -> None:
    text = searchable(["Acme GmbH", "灌装三线"])
    assert not all(term in text for term in terms(query))


def test_nothing_is_no_words() -> None:
    assert (searchable([None, "", "Acme", "ACME"]), terms("  "), terms("a A b")) == ("acme", [], ["a", "b"])
