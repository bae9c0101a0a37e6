"""The book of gates and what gates did, as read models."""

from datetime import timedelta
from typing import Any

import pytest

from services.opportunity.projections.gate_effects import gate_effects
from services.opportunity.projections.gates import gates
from shared.contracts.opportunity import (
    GatePassedOnWaiver,
    GateProof,
    GatesProved,
    GateStopped,
    GateWarned,
    Lacking,
    WaiverApproved,
    WaiverRefused,
    WaiverRequested,
    WaiverWithdrawn,
)
from shared.projections.definition import Projection
from shared.testing.given import START
from shared.testing.projections import fold_all, shuffled
from tests.services.opportunity.domain.gates.rules import MATRIX, defined
from tests.services.opportunity.records import Ledger, entity

LACKING = (Lacking(fact="amount", test="known"),)
FIRED: dict[str, Any] = {"gate": "gate", "gate_version": 1, "act": "win", "lacking": LACKING}
UNTIL = START + timedelta(days=9)


def written() -> Ledger:
    ledger = Ledger()
    ledger.write("gate_book-default", MATRIX, START)
    ledger.write("gate_book-default", defined(), START)
    for at in (START, UNTIL):
        failing = () if at == START else ("a case",)
        ledger.write("gate_proofs-default", GatesProved(gates=(proof(failing),)), START, UNTIL)
    for number, answer in (
        (7, WaiverApproved(approved_by="lin", expires_at=UNTIL - timedelta(days=1), note="until then")),
        (8, WaiverRefused(refused_by="mei", reason="no")),
        (10, WaiverWithdrawn(withdrawn_by="ann", reason="signed")),
        (9, None),
    ):
        asked = WaiverRequested(
            gate="gate", gate_version=1, opportunity_id=entity(1), requested_by="ann", reason="why", expires_at=UNTIL
        )
        ledger.write(f"waiver-{entity(number)}", asked, START)
        if answer is not None:
            ledger.write(f"waiver-{entity(number)}", answer, START)
    passed = GatePassedOnWaiver(**FIRED, waiver_id=entity(7), approved_by="lin")
    for event in (GateWarned(**FIRED), GateStopped(**FIRED, mode="stop"), passed):
        ledger.write(f"opportunity-{entity(1)}", event, START)
    return ledger


async def test_what_gates_did_and_who_answered_for_it(database: str) -> None:
    tables = await fold_all(database, gate_effects, written().records)
    assert [(row["version"], row["verdict"], row["approved_by"]) for row in tables["firing"]] == [
        (1, "warned", None),
        (2, "stopped", None),
        (3, "waived", "lin"),
    ]
    assert tables["firing"][0]["lacking"] == [{"fact": "amount", "test": "known", "wanted": None, "found": None}]
    answers = [(row["answer"], row["decided_by"], row["note"], row["expires_at"]) for row in tables["waiver"]]
    assert answers == [
        ("approved", "lin", "until then", UNTIL - timedelta(days=1)),
        ("refused", "mei", "no", UNTIL),
        (None, None, None, UNTIL),
        ("withdrawn", "ann", "signed", UNTIL),
    ]


def proof(failing: tuple[str, ...]) -> GateProof:
    return GateProof(gate="gate", version=1, proofs=1, failing=failing)


async def test_the_book_keeps_every_word_in_order(database: str) -> None:
    tables = await fold_all(database, gates, written().records)
    assert [(row["number"], row["type_name"]) for row in tables["entry"]] == [
        (1, "opportunity.authority_defined"),
        (2, "opportunity.gate_defined"),
    ]
    assert [(row["gate"], row["version"], row["failing"]) for row in tables["proof"]] == [("gate", 1, ["a case"])]


@pytest.mark.parametrize("projection", [gates, gate_effects])
async def test_it_comes_out_the_same_twice_one_by_one_and_shuffled(database: str, projection: Projection) -> None:
    records = written().records
    tables = await fold_all(database, projection, records)
    assert await fold_all(database, projection, records, batch=1) == tables
    assert await fold_all(database, projection, shuffled(records, 3)) == tables
