"""Files over HTTP: taken in as the plain body of a request, given out as an attachment; never in memory as a whole."""

import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from shared.files.port import Files, Received
from shared.files.receiving import receive
from shared.web.commanding import BackendNow
from shared.web.problems import BodyTooLargeError, ProblemError, bad_request, unavailable

BYTES = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
LONGEST_MEDIA_TYPE = 127
FILE: Final[dict[str, Any]] = {BYTES: {"schema": {"type": "string", "format": "binary"}}}
BODY: Final[dict[str, Any]] = {"requestBody": {"required": True, "content": FILE}}
"""For the OpenAPI document: what a route that takes a file reads, which it does without the framework."""


async def files_of(backend: BackendNow) -> Files:
    if backend.files is None:
        raise unavailable("no_files", "no files are kept here")
    return backend.files


FilesNow = Annotated[Files, Depends(files_of)]


@asynccontextmanager
async def uploaded(request: Request, files: Files, largest: int) -> AsyncIterator[Received]:
    """The body as a file on disk, until the block is left. Raises ProblemError: 413 for more than `largest` bytes,
    400 for none, and for what breaks off; FilesUnavailableError."""
    request.state.largest_body = largest
    try:
        async with receive(request.stream(), files.staging) as received:
            if received.size == 0:
                raise bad_request("empty_file", "the body is empty", field="body", expected="the bytes of the file")
            yield received
    except ClientDisconnect:
        raise ProblemError(400, "broken_off", "the file broke off before its end; send it again") from None
    except BodyTooLargeError:
        raise ProblemError(413, "file_too_large", f"a file has at most {largest} bytes") from None


def media_type_of(request: Request) -> str:
    """Of the body, without its parameters; plain bytes where nothing is said.

    Raises ProblemError 415 for what is no media type, and for a body that is not the file itself.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ProblemError(415, "encoded_file", "send the file as it is, without Content-Encoding")
    said = request.headers.get("content-type", BYTES).partition(";")[0].strip().lower()
    if said.startswith("multipart/"):
        raise ProblemError(415, "not_a_file", "send the file alone as the body, under its own Content-Type, not a form")
    if len(said) > LONGEST_MEDIA_TYPE or _MEDIA_TYPE.fullmatch(said) is None:
        raise ProblemError(415, "bad_media_type", f"{said[:60]!r} is no media type; send such as application/pdf")
    return said


async def attachment(request: Request, files: Files, sha256: str, size: int, name: str, media_type: str) -> Response:
    """The file; 304 for whoever has it. Nothing of it is shown or run within the site that it comes from.

    Raises FileLostError, FilesUnavailableError.
    """
    headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if _has(request, sha256):
        return Response(status_code=304, headers=headers)
    headers |= {
        "Content-Disposition": disposition(name),
        "Content-Length": str(size),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return StreamingResponse(await files.get(sha256, size), media_type=media_type, headers=headers)


def disposition(name: str) -> str:
    """RFC 6266: the name in UTF-8, and beside it in ASCII for those that read no other."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9 ._()+-]", "_", plain).strip(" .") or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _has(request: Request, sha256: str) -> bool:
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return f'"{sha256}"' in known or "*" in known
