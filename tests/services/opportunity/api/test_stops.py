"""What gates refuse is refused, also where it cannot be put on record."""

import math

import pytest
from fastapi import Request, Response
from structlog.testing import capture_logs

from services.opportunity.api.stops import held_to_gates
from services.opportunity.domain.gates.evaluate import ActOn, GateRefusedError, Ruling
from services.opportunity.domain.opportunity.terms import Comment
from shared.eventstore.commands import CommandContext
from shared.kit.ids import new_id
from shared.service.visibility import EVERYTHING
from shared.web.auth import Caller
from shared.web.commanding import Commander
from tests.services.opportunity.api.house import House
from tests.services.opportunity.domain.gates.rules import defined

CHINESE = Request({"type": "http", "headers": [(b"accept-language", b"zh-CN")]})


async def test_a_stop_that_cannot_be_recorded_is_told_all_the_same(house: House) -> None:
    backend, nowhere = house.service.backend, str(new_id())
    caller = Caller("ann", frozenset({"seller"}), math.inf)
    context = CommandContext("ann", backend.clock.now(), new_id())
    command = Commander(backend, caller, EVERYTHING, context, f"/opportunities/{nowhere}/win")
    refusal = GateRefusedError((Ruling(defined(), ActOn("win"), "refused"),))
    refusal.opportunity_id = nowhere

    async def refuse() -> Response:
        raise refusal

    with capture_logs() as logged, pytest.raises(GateRefusedError) as told:
        await held_to_gates(refuse, Comment(text="x"), command, CHINESE)
    assert told.value.stopped == refusal.stopped
    assert "防错规则" in told.value.reasons[0].message
    assert [(one["log_level"], one["gates"]) for one in logged] == [("error", ["gate"])]
