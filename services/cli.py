"""The command `keyfold`: the one place where services, servers and processes are put together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
import uvloop

from services import key_commands
from services.console import errors, fail, screen
from services.mendable import told
from shared.kit.garbage import collect_seldom
from shared.kit.settings import API_NEEDS, WORKER_NEEDS, Settings, SettingsError, load_settings
from shared.kit.telemetry import configure_logging

T = TypeVar("T")

app = typer.Typer(
    name="keyfold",
    help="Keyfold: an event-sourced backend for key-account sales.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
imports = typer.Typer(help="Bring in what another system knows.", no_args_is_help=True)
parked = typer.Typer(help="Streams that a read model could not take.", no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(key_commands.app, name="key")
app.add_typer(parked, name="parked")


class Name(StrEnum):
    """The services; checked against the catalogue by a test."""

    account = "account"
    opportunity = "opportunity"


ServiceName = Annotated[Name, typer.Argument(help="Which service.", show_default=False)]
DAYS = ["%Y-%m-%d"]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
INTERRUPTED = 130
STOPPED = "Stopped before the end; what was acknowledged is kept; run it again to go on."


def settings_or_fail(*needed: str) -> Settings:
    try:
        return load_settings(*needed)
    except SettingsError as faults:
        fail(f"The environment has faults:\n{faults}", 2)


def run(work: Callable[[Settings], Awaitable[T]], *, log_level: str | None = None, needs: Sequence[str] = ()) -> T:
    """Run a command. What operators can mend is told in a sentence; everything else keeps its traceback."""
    settings = settings_or_fail(*needs)
    configure_logging(log_level or settings.log_level, settings.log_format)

    with told(settings):
        return uvloop.run(_until_interrupted(work(settings)))


async def _until_interrupted(work: Awaitable[T]) -> T:
    """Ctrl-C also reaches the programs that a command runs: what they then complain of is no news."""
    try:
        return await work
    except Exception:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from None
        raise


@app.command()
def up(
    demo: Annotated[bool, typer.Option(help="Load the invented company at the first start.")] = True,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Instead of KEYFOLD_PORT.")] = None,
) -> None:
    """Start everything in one process: database, services, workers. Ctrl-C stops it; the data stay."""
    from services.embedded import start

    settings = settings_or_fail()
    quiet = "warning" if "log_level" not in settings.model_fields_set else settings.log_level
    style = "text" if "log_format" not in settings.model_fields_set else settings.log_format
    configure_logging(quiet, style)
    if port is not None:
        settings = settings.model_copy(update={"port": port})
    with told(settings):
        uvloop.run(_until_interrupted(start(settings, demo=demo)))


@app.command()
def serve(service: ServiceName) -> None:
    """The API of one service, against the servers that the settings name."""
    from services.distributed import run_api

    run(lambda settings: run_api(settings, service), needs=API_NEEDS)


@app.command()
def work(service: ServiceName) -> None:
    """The worker of one service: relay, read models, reactors, due dates."""
    from services.distributed import run_worker

    run(lambda settings: run_worker(settings, service), needs=WORKER_NEEDS)


@app.command()
def migrate(service: Annotated[Name | None, typer.Argument(help="Default: all.", show_default=False)] = None) -> None:
    """Bring databases, topics and first facts up to date. Safe to run again, and from several places."""
    from services.upkeep import migrate_all

    run(lambda settings: migrate_all(settings, service))


@app.command()
def rebuild(
    service: ServiceName,
    projection: Annotated[str, typer.Argument(help="A read model, or `all`.")] = "all",
    accept_differences: Annotated[
        bool, typer.Option(help="Switch although the result differs from the live one.")
    ] = False,
    json: Json = False,
) -> None:
    """Fold a read model anew from the log, beside the live one, and switch to it. Reads go on. Exit code 1 when it was not
    switched.
    """
    from services.upkeep import rebuild_projections

    if not run(
        lambda settings: rebuild_projections(settings, service, projection, accept_differences, keep=True, json=json)
    ):
        raise typer.Exit(1)


@app.command()
def verify(
    service: ServiceName,
    projection: Annotated[str, typer.Argument(help="A read model, or `all`.")] = "all",
    json: Json = False,
) -> None:
    """Fold a read model anew and compare it with the live one, row for row. Exit code 1 when they differ or events are
    parked.
    """
    from services.upkeep import rebuild_projections

    if not run(lambda settings: rebuild_projections(settings, service, projection, False, keep=False, json=json)):
        raise typer.Exit(1)


@app.command()
def lag(
    json: Json = False,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 when anything is not ok.")] = False,
) -> None:
    """How far relays, read models, reactors and due dates are behind; alarms; workers. Status: ok, late (a minute; due dates five),
    parked, stopped (an alarm, or no worker), unknown (the log is away).
    """
    from services.lagging import show_lag

    if not run(lambda settings: show_lag(settings, json)) and check:
        raise typer.Exit(1)


@parked.command("list")
def parked_list(json: Json = False) -> None:
    """Parked streams of all services, oldest first."""
    from services.upkeep import list_parked

    run(lambda settings: list_parked(settings, json))


@parked.command("show")
def parked_show(service: ServiceName, projection: str, stream: str, json: Json = False) -> None:
    """The events of a parked stream, the bad one first."""
    from services.upkeep import show_parked

    run(lambda settings: show_parked(settings, service, projection, stream, json))


@parked.command("replay")
def parked_replay(service: ServiceName, projection: str, stream: str) -> None:
    """Fold a parked stream's events again, now that the cause is mended: all of them or none."""
    from services.upkeep import replay_parked

    run(lambda settings: replay_parked(settings, service, projection, stream))


@parked.command("drop")
def parked_drop(
    service: ServiceName,
    projection: str,
    stream: str,
    position: int,
    reason: Annotated[str, typer.Option(help="Kept on record.", show_default=False)],
    by: Annotated[str | None, typer.Option(help="Who gives it up; default: the login of the operating system.")] = None,
) -> None:
    """Give up one parked event, for a reason that is kept; a rebuild passes over it too."""
    from services.upkeep import drop_parked

    run(lambda settings: drop_parked(settings, service, projection, stream, position, reason, by))


@parked.command("dropped")
def parked_dropped(json: Json = False) -> None:
    """The events that were given up: where, why, by whom, when."""
    from services.upkeep import list_dropped

    run(lambda settings: list_dropped(settings, json))


@app.command()
def republish(
    service: ServiceName,
    after: Annotated[int, typer.Option(min=0, help="Send everything after this position again.", show_default=False)],
) -> None:
    """Publish events once more, where the log lost some or readers miss some. Readers drop those they know."""
    from services.upkeep import republish_events

    run(lambda settings: republish_events(settings, service, after))


@app.command()
def recover(
    service: ServiceName,
    accept_loss: Annotated[
        bool, typer.Option(help="Go on although events that were never published are lost.")
    ] = False,
) -> None:
    """Bring back from the log what a restored store has lost. Stop the service's API and worker first."""
    from services.upkeep import recover_store

    run(lambda settings: recover_store(settings, service, accept_loss))


Backup = Annotated[Path, typer.Argument(help="A folder: new for a backup, of a backup else.", show_default=False)]


@app.command()
def backup(
    folder: Backup,
    verify: Annotated[bool, typer.Option("--verify", help="Make none: check the one that is there.")] = False,
    files: Annotated[bool, typer.Option(help="Attached files too; without, back up their folder or bucket.")] = True,
    json: Json = False,
) -> None:
    """Save all databases, attached files and the embedded form's keys, while the service goes on."""
    from services.backup import commands

    run(
        lambda settings: (
            commands.check(folder, json=json)
            if verify
            else commands.back_up(settings, folder, with_files=files, json=json)
        )
    )


@app.command()
def restore(
    folder: Backup,
    replace: Annotated[bool, typer.Option("--replace", help="Drop the databases that are there.")] = False,
) -> None:
    """Bring a backup back, and say what is to be done before anything is started. Stop every API and worker first."""
    from services.backup import commands

    run(lambda settings: commands.restore(settings, folder, replace=replace))


@app.command("verify-files")
def verify_files(json: Json = False) -> None:
    """Read every attached file that is on record. Exit code 1 when bytes are lost."""
    from services.backup import commands

    if not run(lambda settings: commands.verify_files(settings, json=json)):
        raise typer.Exit(1)


@imports.command("crm-csv")
def import_crm_csv(
    folder: Annotated[Path, typer.Argument(help="Folder with the CSV files of the export.", show_default=False)],
    mapping: Annotated[
        Path | None, typer.Option(help="Which column is what (YAML); default: services/imports/crm_export.yaml.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide everything, write nothing.")] = False,
    findings: Annotated[int, typer.Option(min=0, help="How many findings of each kind to print.")] = 5,
    json: Json = False,
) -> None:
    """Take accounts, people, teams, products and opportunities from a CRM's CSV export. Twice changes nothing."""
    from services.importing import import_crm

    run(lambda settings: import_crm(settings, folder, mapping, dry_run, findings, json))


@app.command()
def backtest(
    gate: Annotated[str | None, typer.Argument(help="A stored gate.", show_default=False)] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Of the gate; default: its last one.")] = None,
    rule: Annotated[Path | None, typer.Option(help="A file with a rule (YAML or JSON), instead of a gate.")] = None,
    first: Annotated[datetime | None, typer.Option("--from", formats=DAYS, help="The first day of acts.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=DAYS, help="The last day of acts.")] = None,
    json: Json = False,
) -> None:
    """Try a rule on everything that is on record: what it would have fired on, and how that ended."""
    from services.backtesting import backtest as try_rule

    days = (first.date() if first else None, last.date() if last else None)
    run(lambda settings: try_rule(settings, gate, version, rule, days, json))


@app.command()
def demo() -> None:
    """Load the invented company. Twice changes nothing."""
    from services.embedded import load_demo_company

    run(load_demo_company)


@app.command()
def token(
    subject: Annotated[str, typer.Argument(help="The login: `sub` of the token, actor of its events.")] = "operator",
    role: Annotated[
        list[str] | None, typer.Option(help="Several times for several roles; default: all of them.")
    ] = None,
    days: Annotated[float, typer.Option(min=0.001, max=3650, help="How long it is good for.")] = 30.0,
) -> None:
    """Mint a bearer token of this installation's own issuer (embedded form only)."""
    from shared.kit.permissions import ROLES
    from shared.web.own_issuer import OwnIssuer

    settings = settings_or_fail()
    if settings.issuer:
        fail("KEYFOLD_ISSUER is set: tokens come from that issuer", 2)
    try:
        minted = OwnIssuer.open(settings.data).mint(subject, tuple(role or ROLES), settings.audience, days)
    except ValueError as problem:
        fail(str(problem), 2)
    screen.print(minted, soft_wrap=True, markup=False, highlight=False)


@app.command()
def contracts(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 when something is out of date.")
    ] = False,
) -> None:
    """Generate schemas, examples, AsyncAPI and OpenAPI from the code, and guard what is published."""
    from services.openapi import openapi_documents
    from shared.contracts.tooling import contracts_command

    raise typer.Exit(contracts_command(check, problems=openapi_documents(check)))


def main() -> None:
    collect_seldom()
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            errors.print(STOPPED, style="bold red", markup=False, highlight=False)
        raise


if __name__ == "__main__":
    main()
