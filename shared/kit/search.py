"""Finding by words: Chinese and Latin text alike, whatever the case and width of the letters."""

import unicodedata
from collections.abc import Iterable


def searchable(texts: Iterable[str | None]) -> str:
    """What is looked through: every text once, a line each, so that no search matches across two of them."""
    return "\n".join(dict.fromkeys(_folded(text) for text in texts if text))


def terms(query: str) -> list[str]:
    """The words of a search, each of which must occur; Chinese needs no spaces, a part of a word is enough."""
    return list(dict.fromkeys(_folded(query).split()))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
