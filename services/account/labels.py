"""Every code that this service shows to people, in English and in Chinese: code → (en, zh)."""

from collections.abc import Iterable, Mapping
from typing import Final

from shared.kit.permissions import READ, SERVICES, WRITE
from shared.web.language import Language

Words = Mapping[str, tuple[str, str]]

KEY_STATES: Final[Words] = {
    "active": ("Active", "有效"),
    "expired": ("Expired", "已过期"),
    "revoked": ("Revoked", "已吊销"),
}
ROLES: Final[Words] = {
    "seller": ("Seller", "销售"),
    "manager": ("Manager", "经理"),
    "executive": ("Executive", "高管"),
    "finance": ("Finance", "财务"),
    "operations": ("Operations", "运营"),
    "integration": ("Integration", "系统集成"),
}
_SERVICES: Final[Words] = {"account": ("accounts", "客户服务"), "opportunity": ("opportunities", "商机服务")}
SCOPES: Final[Words] = {
    f"{service}:{access}": (f"{en} {_SERVICES[service][0]}", f"{zh}{_SERVICES[service][1]}")
    for service in SERVICES
    for access, en, zh in ((READ, "Read", "读取"), (WRITE, "Change", "修改"))
}
KEY_NOTES: Final[Words] = {
    "now": ("Keep this key now: it is shown once and kept nowhere.", "请立即保存此密钥：仅显示一次，系统不留存。"),
    "before": (
        "The key was shown once, in the first answer, and is kept nowhere. If it was lost, rotate it: that gives a new one.",
        "该密钥已在首次应答中显示过一次，系统不留存。如已丢失，请轮换密钥以获得新密钥。",
    ),
    "dry_run": ("Nothing was written; a key is shown when it is.", "试运行，未写入任何内容；正式执行时才会显示密钥。"),
}


def word(words: Words, code: str, language: Language) -> str:
    """The code itself where a later version had one that this one does not know."""
    en, zh = words.get(code, (code, code))
    return zh if language == "zh" else en


def of_key(state: str, roles: Iterable[str], scopes: Iterable[str], language: Language) -> dict[str, str]:
    groups = ((KEY_STATES, (state,)), (ROLES, roles), (SCOPES, scopes))
    return {code: word(words, code, language) for words, codes in groups for code in codes}
