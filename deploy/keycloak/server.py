"""A real OpenID Connect issuer on this machine, without a container image: Keycloak's official distribution, run by `java`.

    python deploy/keycloak/server.py start --data .keyfold/keycloak [--port 8180]

Needs `java` (17 or newer) and, the first time, `mvn` to fetch it (about 150 MB, built once per machine in half a
minute). Its realm is `keyfold-realm.json` beside this file; everything it knows is in memory and is gone when it
stops. Every address is on 127.0.0.1. As a module: `Keycloak(data_dir, fetch())` with start, stop and kill. Standard
library only.
"""

import argparse
import fcntl
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path

HOST = "127.0.0.1"
VERSION = "26.0.7"
COORDINATES = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
REALM_FILE = Path(__file__).with_name("keyfold-realm.json")
START_SECONDS = 120.0
STOP_SECONDS = 20.0
FETCH_SECONDS = 900.0
UNUSED = "admin,account,authorization,ciba,device-flow,par,kerberos,impersonation"  # consoles and flows: less to start
THREADS = "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory"
JAVA_OPTIONS = (
    "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8",
    f"-Djava.util.concurrent.ForkJoinPool.common.threadFactory={THREADS}",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
)  # fmt: skip


class KeycloakUnavailable(RuntimeError):
    """It could not be fetched or started; the message says why."""


def default_cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "keyfold" / f"keycloak-{VERSION}"


def missing_tools() -> list[str]:
    """What must be installed first: java always, mvn only while it is not in the cache."""
    needed = ["java"] if _complete(default_cache()) else ["java", "mvn"]
    return [tool for tool in needed if shutil.which(tool) is None]


def _complete(cache: Path) -> bool:
    return (cache / "built").exists()


def fetch(cache_dir: Path | None = None) -> Path:
    """The folder of the distribution, fetched by Maven and built for a quick start once per machine."""
    cache = cache_dir or default_cache()
    if _complete(cache):
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    # One process fetches, the others wait for it: the build alone takes half a minute of all cores.
    with cache.with_name(f"{cache.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _complete(cache):
            _fetch(cache)
    return cache


def _fetch(cache: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KeycloakUnavailable("mvn (Apache Maven) is needed to fetch Keycloak")
    # Into a folder of its own, then renamed: an interrupted fetch leaves nothing that looks complete.
    partial = cache.with_name(f"{cache.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.mkdir(parents=True)
    try:
        _run(
            [maven, "-q", "-B", "dependency:copy", f"-Dartifact={COORDINATES}", f"-DoutputDirectory={partial}"], partial
        )
        archive = partial / f"keycloak-quarkus-dist-{VERSION}.zip"
        with zipfile.ZipFile(archive) as content:
            content.extractall(partial)
        archive.unlink()
        home = partial / f"keycloak-{VERSION}"
        _run(["bash", str(home / "bin" / "kc.sh"), "build", "--db=dev-mem", f"--features-disabled={UNUSED}"], home)
        (home / "built").touch()
        home.rename(cache)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Keycloak:
    """One issuer. Port, secrets and the administrator stay the same however often it is started; keys and users do not."""

    administrator = "admin"

    def __init__(self, data_dir: Path, home: Path, port: int | None = None) -> None:
        self.folder = data_dir.absolute()
        self.port = port or free_port()
        self.password = secrets.token_urlsafe(18)
        self.integration_secret = secrets.token_urlsafe(18)
        self._home = home
        self._management = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.address}/realms/keyfold"

    @property
    def output(self) -> Path:
        return self.folder / "server.log"

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start, wait until the realm answers, and return the issuer."""
        if self.is_running():
            return self.issuer
        java = shutil.which("java")
        if java is None:
            raise KeycloakUnavailable("java (17 or newer) is needed to run Keycloak")
        self._prepare()
        command = [
            java,
            *JAVA_OPTIONS,
            f"-Dkc.home.dir={self.folder}",
            "-cp",
            str(self._home / "lib" / "quarkus-run.jar"),
        ]
        command += ["io.quarkus.bootstrap.runner.QuarkusEntryPoint", "start", "--optimized", "--import-realm"]
        command += ["--cache=local", "--http-enabled=true", f"--http-host={HOST}", f"--http-port={self.port}"]
        command += [f"--http-management-port={self._management}", "--hostname-strict=false"]
        environment = os.environ | {
            "KC_BOOTSTRAP_ADMIN_USERNAME": self.administrator,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self.password,
            "KEYFOLD_INTEGRATION_SECRET": self.integration_secret,
        }
        with self.output.open("ab") as sink:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=self.folder, env=environment,
                start_new_session=True,  # Ctrl-C is for the caller, who then stops it in order
            )  # fmt: skip
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self.issuer

    def stop(self) -> None:
        """Orderly end (SIGTERM)."""
        if self._process is not None and self.is_running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        if self._process is not None and self.is_running():
            self._process.kill()
            self._process.wait()

    def wait(self) -> int:
        """Until it ends by itself; its exit status."""
        return 0 if self._process is None else self._process.wait()

    def _prepare(self) -> None:
        """A home of its own: what it writes is below the folder, what it runs stays in the cache."""
        realms = self.folder / "data" / "import"
        realms.mkdir(parents=True, exist_ok=True)
        shutil.copy(REALM_FILE, realms)
        for name in ("lib", "conf", "providers"):
            link = self.folder / name
            if not link.exists():
                link.symlink_to(self._home / name)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self.is_running() or time.monotonic() > deadline:
                tail = "\n".join(self.output.read_text(errors="replace").splitlines()[-15:])
                raise KeycloakUnavailable(f"Keycloak did not start; the end of {self.output}:\n{tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/realms/keyfold/.well-known/openid-configuration")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=FETCH_SECONDS, cwd=folder)
    except subprocess.TimeoutExpired:
        raise KeycloakUnavailable(f"{command[0]} took longer than {FETCH_SECONDS:.0f} seconds") from None
    if done.returncode != 0:
        raise KeycloakUnavailable(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-2000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description="A real OpenID Connect issuer, without a container image.")
    start = parser.add_subparsers(dest="command", required=True).add_parser("start", help="run until Ctrl-C")
    start.add_argument("--data", type=Path, required=True, help="folder for what it writes")
    start.add_argument("--port", type=int, default=8180)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = None
    try:
        server = Keycloak(options.data, fetch(), port=options.port)
        print(f"KEYFOLD_ISSUER={server.start()}", flush=True)
        print(f"Administrator: {server.administrator} / {server.password}", flush=True)
        print(f"Client keyfold-integration, secret: {server.integration_secret} (Ctrl-C stops it)", flush=True)
        return server.wait()
    except KeycloakUnavailable as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        if server is not None:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
