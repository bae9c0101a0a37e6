"""`keyfold key …`: whoever holds the database issues, lists and revokes keys without a token."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from services import installation, keys, upkeep
from services.account.app import SERVICE
from services.console import CommandError
from services.installation import open_installation
from shared.kit.api_key import parse_api_key
from shared.kit.settings import Settings
from shared.service.key_uses import KeyUse
from shared.service.visible import wait_until_visible
from shared.testing.apps import working

USED = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
async def settings(
    databases: Callable[[str], Awaitable[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    dsn = await databases("account")
    monkeypatch.setattr(installation, "service_database", lambda _: urlsplit(dsn).path.lstrip("/"))
    monkeypatch.setattr(keys, "SERVICES", {"account": SERVICE})
    made = Settings(database_url=SecretStr(dsn), log_url=SecretStr(dsn), secret=SecretStr("s" * 32), data=tmp_path)
    await upkeep.migrate_all(made, "account")
    return made


async def test_an_operator_issues_lists_rotates_and_revokes_keys(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed() -> Any:
        return json.loads(capsys.readouterr().out)

    capsys.readouterr()
    await keys.issue(settings, "ERP", ["integration"], ["account:read"], 10, "mei", json=True)
    told = printed()
    shown = parse_api_key(told["key"])
    assert shown is not None
    async with open_installation(settings) as here, here.backend(SERVICE) as backend, working(backend):
        await wait_until_visible([backend])
        known = await backend.api_keys.find(shown.key_id)
        assert known is not None
        assert known.holding(shown.digest)
        backend.key_uses.note(KeyUse(shown.key_id, 1, USED))
        await backend.key_uses.flush()
        await keys.show(settings, json=True)
        [row] = printed()
        assert (row["id"], row["state"], row["last_used_in"]) == (told["id"], "active", "account")
        assert datetime.fromisoformat(row["last_used_at"]) == USED
        await keys.show(settings, json=False)
        assert told["id"] in capsys.readouterr().out
        (issued,) = await backend.store.load(f"api_key-{shown.key_id}")
        assert issued.actor == "keyfold/mei"
    await keys.rotate(settings, told["id"], 0, None, "mei", json=True)
    assert printed()["key"] != told["key"]
    await keys.revoke(settings, told["id"], "lost", "mei")
    with pytest.raises(CommandError, match="revoked for ever; issue a new one"):
        await keys.rotate(settings, told["id"], 24, None, "mei", json=True)
    with pytest.raises(CommandError, match="there is no role emperor"):
        await keys.issue(settings, "ERP", ["emperor"], ["account:read"], 10, "mei", json=True)
