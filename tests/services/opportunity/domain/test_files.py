"""Files attached, and named as evidence."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from services.opportunity.domain.opportunity.files import MOST_FILES, AttachFile, file_id_of
from services.opportunity.domain.opportunity.outcome import Lose, Pause, Win
from services.opportunity.domain.opportunity.progress import GiveCommitment, ObserveBuyingStage, ReachMilestone
from shared.contracts.opportunity import Evidence, FileAttached, MilestoneReached, Shown
from shared.kit.ids import new_id
from tests.services.opportunity.deals import on, state_after

DEAL = "0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"
CALLED = Shown(stage=1, kind="milestone", code="called")


def a_file(name: str = "report.pdf", sha256: str = "ab" * 32, shows: Shown | None = None) -> AttachFile:
    file_id = file_id_of(DEAL, sha256, name, shows)
    return AttachFile(file_id=file_id, name=name, media_type="application/pdf", size=7, sha256=sha256, shows=shows)


REPORT = a_file()


def shown_by(*files: str, kind: str = "file") -> Evidence:
    return Evidence.model_validate({"kind": kind, "note": "see the report", "files": files})


def test_a_file_is_attached() -> None:
    on()(REPORT).then(
        FileAttached(file_id=REPORT.file_id, name="report.pdf", media_type="application/pdf", size=7, sha256="ab" * 32)
    )


def test_the_same_file_is_attached_once() -> None:
    on(REPORT)(a_file()).nothing()


@pytest.mark.parametrize("other", [a_file(name="report 2.pdf"), a_file(sha256="cd" * 32)])
def test_another_name_and_other_bytes_are_another_file(other: AttachFile) -> None:
    assert [one.file_id for one in on(REPORT)(other).events] == [other.file_id]  # type: ignore[attr-defined]
    assert other.file_id != REPORT.file_id


def test_what_was_attached_is_known() -> None:
    state = state_after(REPORT, a_file(name="b.pdf"))
    assert [one.name for one in state.files.values()] == ["report.pdf", "b.pdf"]


@pytest.mark.parametrize("ended", [Lose(reason="price"), Pause(reason="budget")])
def test_files_are_attached_to_what_rests_or_has_ended_too(ended: Lose | Pause) -> None:
    assert on(ended)(REPORT).events


def test_there_is_an_end_to_how_many() -> None:
    on(*(a_file(name=f"{number}.pdf") for number in range(MOST_FILES)))(a_file(name="one more")).refused(
        "too_many_files"
    )


def test_a_file_shows_what_is_on_record() -> None:
    later = a_file(shows=CALLED)
    on()(later).refused("not_evidenced")
    reached = ReachMilestone(milestone="called", evidence=Evidence(note="a call"))
    assert on(reached)(later).events == (FileAttached(**later.model_dump(exclude={"action", "occurred_at"})),)


def test_evidence_names_files_of_the_opportunity() -> None:
    command = ReachMilestone(milestone="called", evidence=shown_by(REPORT.file_id))
    [reached] = on(REPORT)(command).events
    assert isinstance(reached, MilestoneReached)
    assert reached.evidence.files == (REPORT.file_id,)


def test_a_note_may_name_files_too() -> None:
    assert on(REPORT)(ReachMilestone(milestone="called", evidence=shown_by(REPORT.file_id, kind="note"))).events


@pytest.mark.parametrize(
    "command",
    [
        lambda evidence: ReachMilestone(milestone="called", evidence=evidence),
        lambda evidence: GiveCommitment(criterion="meeting", evidence=evidence),
        lambda evidence: ObserveBuyingStage(stage=2, evidence=evidence),
        lambda evidence: Win(evidence=evidence),
    ],
)
def test_evidence_of_files_that_are_not_attached_is_refused(command: Callable[[Evidence], Any]) -> None:
    strange = [str(new_id()), str(new_id())]
    result = on(REPORT)(command(shown_by(REPORT.file_id, *strange)))
    result.refused("unknown_file", "unknown_file")
    assert result.refusal is not None
    assert [reason.field for reason in result.refusal.reasons] == ["evidence.files.1", "evidence.files.2"]
    on(REPORT)(command(shown_by())).refused("no_file")


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../../etc/passwd", "a/b", "c:\\boot.ini", "a\0b", "a\nb", "a\x7fb", "gpj.\u202eexe", "a\u2066b",
     "x" * 256],
)  # fmt: skip
def test_a_name_is_no_path_and_shows_what_it_is(name: str) -> None:
    with pytest.raises(ValidationError):
        a_file(name=name)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("拜访报告 2026-03-12.pdf", "拜访报告 2026-03-12.pdf"), (" a b ", "a b"), ("Re\u0301sume\u0301.doc", "Résumé.doc"),
     ("..gitignore", "..gitignore"), ('"quoted"; x=1', '"quoted"; x=1')],
)  # fmt: skip
def test_names_are_kept_in_one_spelling(name: str, kept: str) -> None:
    assert a_file(name=name).name == kept


@pytest.mark.parametrize(
    "kind", ["pdf", "application/", "text/html; charset=utf-8", "Text/HTML", "a/b/c", "x/" + "y" * 130]
)
def test_a_media_type_is_one(kind: str) -> None:
    with pytest.raises(ValidationError):
        AttachFile(**REPORT.model_dump(exclude={"media_type"}), media_type=kind)
