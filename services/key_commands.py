"""`keyfold key …`: API keys from the command line."""

from typing import Annotated
from uuid import UUID

import typer

app = typer.Typer(help="API keys: issue, rotate, revoke, list.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
KeyId = Annotated[UUID, typer.Argument(help="Of the key; `list` tells them.", show_default=False)]
By = Annotated[str | None, typer.Option(help="Who does so; default: the login of the operating system.")]


@app.command()
def issue(
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    role: Annotated[list[str], typer.Option(help="What it may do; several times for several.", show_default=False)],
    scope: Annotated[
        list[str], typer.Option(help="Where: SERVICE:read, SERVICE:write; several times.", show_default=False)
    ],
    days: Annotated[float, typer.Option(min=0.001, max=400, help="How long it is good for.")] = 365.0,
    by: By = None,
    json: Json = False,
) -> None:
    """Issue a key. It is printed once and kept nowhere."""
    from services import keys
    from services.cli import run

    run(lambda settings: keys.issue(settings, name, role, scope, days, by, json))


@app.command()
def rotate(
    key: KeyId,
    overlap: Annotated[float, typer.Option(min=0, max=720, help="Hours that older secrets stay good; 0: none.")] = 24.0,
    days: Annotated[float | None, typer.Option(min=0.001, max=400, help="Its new end; default: as it is.")] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Give a key a new secret. It is printed once and kept nowhere."""
    from services import keys
    from services.cli import run

    run(lambda settings: keys.rotate(settings, str(key), overlap, days, by, json))


@app.command()
def revoke(
    key: KeyId, reason: Annotated[str, typer.Option(help="Kept on record.", show_default=False)], by: By = None
) -> None:
    """End a key for ever, in every service."""
    from services import keys
    from services.cli import run

    run(lambda settings: keys.revoke(settings, str(key), reason, by))


@app.command("list")
def list_keys(json: Json = False) -> None:
    """Every key, its end, and where it was last used (a minute late at most)."""
    from services import keys
    from services.cli import run

    run(lambda settings: keys.show(settings, json))
