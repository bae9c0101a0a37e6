"""The OpenAPI document of each service, kept in docs/openapi/ so that a change of the API shows in a diff."""

from pathlib import Path

import orjson

from services.catalogue import SERVICES
from services.console import screen
from shared.web.app import describe

FOLDER = Path(__file__).parents[1] / "docs" / "openapi"


def openapi_documents(check: bool, folder: Path = FOLDER) -> int:
    """Write what is out of date; with `check` only say so. Returns the exit code."""
    stale = 0
    for name, service in SERVICES.items():
        file = folder / f"{name}.json"
        content = orjson.dumps(describe(service).openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        if file.exists() and file.read_bytes() == content:
            continue
        stale += 1
        if check:
            screen.print(f"PROBLEM {file.name} is out of date: run `make contracts`", markup=False)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            screen.print(f"docs/openapi/{file.name} written", markup=False)
    return 1 if check and stale else 0
