"""`keyfold import`: from files to facts, with a report of every row that was doubted or refused."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from services import console
from services.catalogue import SERVICES
from services.embedded import everything
from services.imports.mapping import DEFAULT_MAPPING, load_mapping
from services.imports.reading import read_export
from services.imports.report import findings, notes, summary, tally
from services.imports.run import Import, Result, Services
from services.installation import Installation, open_installation
from shared.kit.clock import SystemClock
from shared.kit.settings import Settings
from shared.service.backend import API, Backend
from shared.service.visible import wait_until_visible


async def import_crm(
    settings: Settings, folder: Path, mapping_file: Path | None, dry_run: bool, shown: int, json: bool
) -> None:
    """Raises ExportError and MappingError (both ValueError) before anything is written."""
    mapping = load_mapping(mapping_file or DEFAULT_MAPPING)
    now = SystemClock().now()
    export = read_export(folder, mapping, settings.calendar.day_of(now))
    async with open_installation(settings) as installation, AsyncExitStack() as stack:
        backends = await _backends(installation, stack)
        commands = {backend.service.name: backend.commands for backend in backends}
        with console.progress("dry run" if dry_run else "importing") as advance:
            run = Import(
                Services(commands["account"], commands["opportunity"]),
                export,
                mapping,
                settings.calendar,
                now,
                dry_run=dry_run,
                progress=advance,
            )
            result = await run.run()
        visible = not dry_run and await _shown(backends)
    if json:
        console.as_json(
            {
                "summary": summary(result, mapping),
                "findings": findings(result),
                "notes": notes(result, mapping),
                "visible": visible,
            }
        )
        return
    _print(result, shown, summary(result, mapping), [*notes(result, mapping), *_visibility(dry_run, visible)])


async def _backends(installation: Installation, stack: AsyncExitStack) -> list[Backend]:
    """Where nobody else works, the workers run in this process, so that the read models follow at once."""
    if installation.alone:
        return await stack.enter_async_context(everything(installation, asyncio.Event()))
    return [await stack.enter_async_context(installation.backend(service, API)) for service in SERVICES.values()]


async def _shown(backends: list[Backend]) -> bool:
    """Wait until the read models show it, if somebody is there to bring them up to date."""
    for backend in backends:
        if not await backend.reads.worker_alive():
            return False
    with console.progress("waiting for the read models"):
        await wait_until_visible(backends)
    return True


def _visibility(dry_run: bool, visible: bool) -> list[str]:
    if dry_run or visible:
        return []
    return ["No worker is running: the read models will show it when one has started (`keyfold work SERVICE`)."]


def _print(result: Result, shown: int, rows: list[dict[str, object]], notes_: list[str]) -> None:
    console.show("Dry run: nothing written" if result.dry_run else "Imported", rows)
    console.show("Findings", tally(result), empty="none")
    for kind in ("rejected", "doubted"):
        listed = [one for one in findings(result) if one["kind"] == kind]
        if listed and shown:
            some = [{name: one[name] for name in ("file", "line", "code", "message")} for one in listed[:shown]]
            console.show(f"{kind.capitalize()}: the first {len(some)} of {len(listed)} (all with --json)", some)
    for note in notes_:
        console.screen.print(note, markup=False)
