"""The gateway's configuration in a real HAProxy, before a server that tells what reached it. Skipped where there is no HAProxy."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

CONFIGURATION = (Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="there is no haproxy: apt-get install haproxy")

Ask = Callable[..., tuple[int, dict[str, Any]]]


class _Mirror(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _gateway(folder: Path, trusted: str) -> Iterator[Ask]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    mirror = ThreadingHTTPServer(("127.0.0.1", 0), _Mirror)
    threading.Thread(target=mirror.serve_forever, daemon=True).start()
    lines = []
    for line in CONFIGURATION.replace("bind :8080", f"bind 127.0.0.1:{port}").splitlines():
        server = line.lstrip().startswith("server-template")
        lines.append(f"    server one 127.0.0.1:{mirror.server_port}" if server else line)
    file = folder / "haproxy.cfg"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = {"GATEWAY_TRUSTED": trusted, "GATEWAY_REQUESTS_PER_10S": "3000", "GATEWAY_LARGEST_BODY": "1000"}
    process = subprocess.Popen([str(shutil.which("haproxy")), "-db", "-q", "-f", str(file)], env=told)

    def ask(path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        return answer.status, said

    try:
        _await_port(process, port)
        yield ask
    finally:
        process.terminate()
        process.wait(timeout=20)
        mirror.shutdown()
        mirror.server_close()


def _await_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + 30
    while True:
        assert process.poll() is None, "haproxy does not take the configuration"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until
            threading.Event().wait(0.05)
        else:
            return


@pytest.fixture(scope="module")
def behind_a_trusted_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with ExitStack() as stack:
        yield stack.enter_context(_gateway(tmp_path_factory.mktemp("trusted"), "127.0.0.1"))


@pytest.fixture(scope="module")
def facing_strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with ExitStack() as stack:
        yield stack.enter_context(_gateway(tmp_path_factory.mktemp("strangers"), "192.0.2.1"))


@pytest.mark.parametrize(
    "path",
    [
        "/realms/../admin/master/console/",
        "/realms/./x",
        "/realms/..",
        "/realms//x",
        "/realms/%2e%2e/admin/",
        "/realms/.%2E%2fadmin/",
        "/realms/%252e%252e/admin/",
        "/realms/x%252f%252fy",
        "/realms/..;x=y/admin/",
        "/realms/..%5cadmin/",
        "/realms/%2e%2e/admin/%zz",
        "/resources/../admin/",
        "/account/../realms/x",
    ],
)
def test_no_path_goes_on_that_others_may_read_as_another(facing_strangers: Ask, path: str) -> None:
    status, said = facing_strangers(path)
    assert (status, said["code"]) == (400, "bad_path")


@pytest.mark.parametrize(
    "path",
    [
        "/realms/keyfold/.well-known/openid-configuration",
        "/realms/keyfold/protocol/openid-connect/auth?redirect_uri=http://127.0.0.1/../x",
        "/resources/a.b/..c/x.css",
        "/account/v1/accounts/by-external/web/https://example.com/a%2Fb",
        "/account/v1/accounts/by-external/crm/100%25",
    ],
)
def test_other_paths_go_on_to_the_letter(facing_strangers: Ask, path: str) -> None:
    status, said = facing_strangers(path)
    assert (status, said["path"]) == (200, path)


TOLD = {"X_Forwarded_For": "198.51.100.7", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "sales.example.com"}


def _forwarded(said: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in said["headers"].items() if name.startswith("x-forwarded-")}


def test_what_a_trusted_proxy_says_is_believed(behind_a_trusted_proxy: Ask) -> None:
    _, said = behind_a_trusted_proxy("/account/x", **TOLD)
    assert _forwarded(said) == {name.lower().replace("_", "-"): value for name, value in TOLD.items()}


def test_what_a_stranger_says_is_thrown_away(facing_strangers: Ask) -> None:
    for claimed in ("198.51.100.7", "192.0.2.1"):  # also where it claims to be the proxy
        _, said = facing_strangers("/account/x", Host="here", **TOLD | {"X_Forwarded_For": claimed})
        told = {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": "here"}
        assert _forwarded(said) == told
