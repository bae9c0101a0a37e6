"""API keys as text."""

import re

import pytest

from shared.kit.api_key import ApiKeyText, new_secret, parse_api_key

KEY = ApiKeyText("0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d", new_secret())


def test_a_key_is_read_as_it_was_written_and_found_by_scanners() -> None:
    assert parse_api_key(KEY.text) == KEY
    assert re.findall(r"kf_[0-9a-f]{32}_[0-9a-f]{72}", f"KEY={KEY.text};") == [KEY.text]


def test_every_secret_is_another_and_shows_in_no_repr() -> None:
    assert new_secret() != new_secret()
    assert KEY.secret not in repr(KEY)
    assert len(KEY.digest) == 64
    assert KEY.digest not in KEY.text


@pytest.mark.parametrize(
    "text",
    ["kf_", "kf_x_y", KEY.text.upper(), KEY.text + "0", KEY.text[:-1], f" {KEY.text}", KEY.text.replace("kf_", "sk_")],
)
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    assert parse_api_key(text) is None


def test_a_slip_of_the_pen_is_seen_without_asking_anybody() -> None:
    for at in (5, 60, len(KEY.text) - 1):
        other = "0" if KEY.text[at] != "0" else "1"
        assert parse_api_key(KEY.text[:at] + other + KEY.text[at + 1 :]) is None
