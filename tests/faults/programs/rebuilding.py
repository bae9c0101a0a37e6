"""Rebuild one read model of the invented service; says how far it is."""

import sys

import uvloop
from pydantic import BaseModel

from shared.log.open import open_log
from shared.projections import rebuild as rebuilding
from shared.service.backend import open_engine
from tests.faults import tally


class RebuildOptions(BaseModel):
    dsn: str
    log: str
    topic: str
    projection: str


async def main() -> int:
    options = RebuildOptions.model_validate_json(sys.argv[1])
    tally.use_topic(options.topic)
    rebuilding.BATCH = 200  # so that there is a half way at which to be killed
    projection = next(one for one in tally.PROJECTIONS if one.name == options.projection)
    engine, log = open_engine(options.dsn, 2), open_log(options.log)
    try:
        report = await rebuilding.rebuild(
            engine, log, projection, progress=lambda done, total: print("progress", done, total, flush=True)
        )
    except rebuilding.RebuildRefusedError as refused:
        print("refused", refused, flush=True)
        return 3
    finally:
        await log.close()
        await engine.dispose()
    equal = report.comparison is not None and report.comparison.equal
    print(
        "switched" if report.switched_to else "kept", report.switched_to, "equal" if equal else "different", flush=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
