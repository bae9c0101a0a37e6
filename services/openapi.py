"""The OpenAPI document of each service, kept in docs/openapi/ so that a change of the API shows in a diff."""

from pathlib import Path

import orjson

from services.catalogue import SERVICES
from services.console import screen
from shared.web.app import describe

FOLDER = Path(__file__).parents[1] / "docs" / "openapi"


def openapi_documents(check: bool, folder: Path = FOLDER) -> list[str]:
    """Write what is out of date; with `check` write nothing: what is out of date is what it returns."""
    stale: list[str] = []
    for name, service in SERVICES.items():
        file = folder / f"{name}.json"
        content = orjson.dumps(describe(service).openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        if file.exists() and file.read_bytes() == content:
            continue
        if check:
            stale.append(f"docs/openapi/{file.name} is out of date: run `make contracts`")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            screen.print(f"docs/openapi/{file.name} written", markup=False)
    return stale
