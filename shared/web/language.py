"""Which language labels are shown in: English, or Chinese when the caller prefers it. Codes stay English."""

from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import Depends, Header

Language = Literal["en", "zh"]


def preferred(accept_language: str | None) -> Language:
    """From an Accept-Language header (RFC 9110): the better-liked of the two; English when neither is named."""
    best: tuple[float, Language] = (0.0, "en")
    for part in (accept_language or "")[:500].split(","):
        name, _, quality = part.strip().partition(";")
        primary = name.strip().lower().split("-")[0]
        if primary not in ("en", "zh"):
            continue
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        if weight > best[0]:
            best = (weight, "zh" if primary == "zh" else "en")
    return best[1]


async def language(
    accept_language: Annotated[
        str | None, Header(description="`en` or `zh-CN`: the language of labels.", examples=["zh-CN"])
    ] = None,
) -> Language:
    return preferred(accept_language)


LanguageNow = Annotated[Language, Depends(language)]


def label(names: Mapping[str, str], language: Language, otherwise: str = "") -> str:
    """The name in the language, else in English, else any, else `otherwise`."""
    return names.get(language) or names.get("en") or next(iter(names.values()), otherwise)
