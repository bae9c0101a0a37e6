"""The commands on API keys. A key cannot give them: whoever got hold of one could make himself others that outlive it."""

from typing import Any

from fastapi import APIRouter, Depends, Response

from services.account.api.asking import Collection, EntityId, changed, created, creating
from services.account.api.schemas import KeyAnswer
from services.account.commands.api_keys import issue_api_key, revoke_api_key, rotate_api_key
from services.account.domain.api_key import IssueApiKey, RevokeApiKey, RotateApiKey
from services.account.labels import KEY_NOTES, word
from shared.eventstore.commands import Outcome
from shared.eventstore.types import JsonObject
from shared.kit.api_key import ApiKeyText, new_secret
from shared.kit.ids import new_id
from shared.kit.permissions import KEY_KEEPERS
from shared.web.auth import CallerNow, needs
from shared.web.commanding import ANSWERS, Beside, Commanding
from shared.web.language import Language, LanguageNow
from shared.web.problems import ProblemError

router = APIRouter(prefix="/api-keys", tags=["api keys"])
NO_STORE = {"Cache-Control": "no-store"}  # a secret is for nobody's cache


async def a_person(who: CallerNow) -> None:
    if who.scopes is not None:
        raise ProblemError(
            403, "key_may_not", "an API key cannot issue, rotate or revoke API keys; use the token of a person"
        )


COMMANDS: dict[str, Any] = ANSWERS | {"dependencies": [Depends(needs(*KEY_KEEPERS)), Depends(a_person)]}
WITH_SECRET: dict[str, Any] = COMMANDS | {"response_model": KeyAnswer}


@router.post("", summary="Issue an API key: it is shown in this answer and never again", **creating(WITH_SECRET))
async def issue(body: IssueApiKey, command: Commanding, language: LanguageNow, where: Collection) -> Response:
    """None of its roles may be one that the caller does not have. Its scopes narrow what the roles allow."""
    made = ApiKeyText(str(new_id()), new_secret())
    roles = command.caller.roles
    decide = created(lambda work: issue_api_key(work, made.key_id, body, made.digest, roles))
    answer = await command.run(body, decide, status=201, location=where, beside=_shown(made, language))
    answer.headers.update(NO_STORE)
    return answer


@router.post("/{entity_id}/rotation", summary="Give an API key a new secret, shown in this answer only", **WITH_SECRET)
async def rotate(entity_id: EntityId, body: RotateApiKey, command: Commanding, language: LanguageNow) -> Response:
    """The secrets that it has stay good for `overlap_seconds`. Whoever rotates a key sees a secret of it, so he must have all of
    its roles himself."""
    made = ApiKeyText(str(entity_id), new_secret())
    roles = command.caller.roles
    decide = changed(lambda work: rotate_api_key(work, made.key_id, body, made.digest, roles))
    answer = await command.run(body, decide, beside=_shown(made, language))
    answer.headers.update(NO_STORE)
    return answer


@router.post("/{entity_id}/revocation", summary="Revoke an API key for ever, every secret of it", **COMMANDS)
async def revoke(entity_id: EntityId, body: RevokeApiKey, command: Commanding) -> Response:
    """Every service refuses it as soon as its read model has the fact, and a second at most for what it remembers."""
    return await command.run(body, changed(lambda work: revoke_api_key(work, str(entity_id), body)))


def _shown(made: ApiKeyText, language: Language) -> Beside:
    """Nothing of it reaches the table of commands: a retry with the same Idempotency-Key cannot be shown it. An append that was
    sent again after a lost connection looks like such a retry, but what it recorded is the digest of this very secret.
    """

    def beside(outcome: Outcome, answer: JsonObject) -> JsonObject:
        ours = any(event["data"].get("secret_sha256") == made.digest for event in answer["events"])
        when = "before" if outcome.replayed and not ours else "dry_run" if outcome.dry_run else "now"
        return {"key": made.text if when == "now" else None, "note": word(KEY_NOTES, when, language)}

    return beside
