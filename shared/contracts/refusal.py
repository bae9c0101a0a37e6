"""What `decide` answers when the business says no."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong: a stable `code`, a sentence, the `field` it is about, and what would be right."""

    code: str
    message: str
    field: str | None = None
    expected: str | None = None


@dataclass(eq=False)
class RefusedError(Exception):
    """A command that the domain refuses; `reasons` names everything wrong at once.

    `kind` is how the refusal is told over HTTP: `rule` → 409, `input` → 422, `missing` → 404, `forbidden` → 403.
    """

    reasons: tuple[Reason, ...] = field(default=())
    kind: str = "rule"

    def __str__(self) -> str:
        return "; ".join(reason.message for reason in self.reasons)


def refuse(
    code: str, message: str, *, field: str | None = None, expected: str | None = None, kind: str = "rule"
) -> RefusedError:
    """Build a refusal with one reason: `raise refuse("wrong_stage_order", "stage 4 cannot …")`."""
    return RefusedError((Reason(code, message, field, expected),), kind)
