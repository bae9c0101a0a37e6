"""A real Apache Kafka broker on this machine, without a container image: the official jars, run by `java`.

    python deploy/kafka/broker.py start --data .keyfold/kafka [--port 9092]

Needs `java` (17 or newer) and, the first time, `mvn` to fetch the jars. One node is broker and KRaft
controller at once; every address is on 127.0.0.1. As a module: `Broker(data_dir, fetch_jars())` with start,
stop, kill and restart on one folder. Standard library only.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

HOST = "127.0.0.1"
POM = Path(__file__).with_name("pom.xml")
START_SECONDS = 90.0
STOP_SECONDS = 20.0
FETCH_SECONDS = 900.0
STARTED = "Kafka Server started"

SETTINGS = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
controller.quorum.bootstrap.servers={host}:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=3
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class BrokerUnavailable(RuntimeError):
    """The broker could not be fetched or started; the message says why."""


def kafka_version() -> str:
    found = re.search(r"<kafka\.version>([^<]+)<", POM.read_text())
    if found is None:
        raise BrokerUnavailable(f"{POM} names no kafka.version")
    return found.group(1)


def missing_tools() -> list[str]:
    """What must be installed first: java always, mvn only while the jars are not in the cache."""
    needed = ["java"] if _complete(default_cache()) else ["java", "mvn"]
    return [tool for tool in needed if shutil.which(tool) is None]


def default_cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "keyfold" / f"kafka-{kafka_version()}"


def _complete(cache_dir: Path) -> bool:
    return any(cache_dir.glob("kafka_2.13-*.jar"))


def fetch_jars(cache_dir: Path | None = None) -> Path:
    """The folder with Kafka's jars, fetched by Maven once per machine (about 45 MB)."""
    cache = cache_dir or default_cache()
    if _complete(cache):
        return cache
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerUnavailable("mvn (Apache Maven) is needed to fetch Kafka's jars")
    # Into a folder of its own, then renamed: an interrupted fetch leaves nothing that looks complete.
    partial = cache.with_name(f"{cache.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.mkdir(parents=True)
    command = [maven, "-q", "-B", "-f", str(POM)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    try:
        status, said = _run(command, FETCH_SECONDS, POM.parent)
        if status != 0 or not _complete(partial):
            raise BrokerUnavailable(f"Maven did not fetch Kafka's jars: {said}")
        try:
            partial.rename(cache)
        except OSError:
            if not _complete(cache):  # else another process was faster, with the same jars
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return cache


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Broker:
    """One broker on one folder. Port and records stay the same however often it is stopped or killed."""

    def __init__(self, data_dir: Path, jars: Path, port: int | None = None, heap: str = "512m") -> None:
        self.folder = data_dir.absolute()
        self._jars = jars
        self._heap = heap
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port or self._remembered("port") or free_port()
        self._controller = self._remembered("controller-port") or free_port()

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def output(self) -> Path:
        return self.folder / "server.log"

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start, wait until it accepts clients, and return the bootstrap address."""
        if self.is_running():
            return self.bootstrap
        config = self._configure()
        self._format(config)
        seen = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as sink:
            self._process = subprocess.Popen(
                [*self._java(f"-Xmx{self._heap}"), "kafka.Kafka", str(config)],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the caller, who then stops the broker in order
            )  # fmt: skip
        try:
            in_time = _wait(lambda: not self.is_running() or self._accepts(seen), START_SECONDS)
            if not in_time or not self.is_running():
                raise BrokerUnavailable(f"Kafka did not start; the end of {self.output}:\n{self._tail()}")
        except BaseException:
            self.kill()
            raise
        return self.bootstrap

    def stop(self) -> None:
        """Orderly end (SIGTERM)."""
        if self._process is not None and self.is_running():
            self._process.send_signal(signal.SIGTERM)
            if not _wait(lambda: not self.is_running(), STOP_SECONDS):
                self.kill()

    def kill(self) -> None:
        """The end by SIGKILL, as in a power cut."""
        if self._process is not None and self.is_running():
            self._process.kill()
            self._process.wait()

    def restart(self) -> str:
        self.stop()
        return self.start()

    def wait(self) -> int:
        """Until the broker ends by itself; its exit status."""
        return 0 if self._process is None else self._process.wait()

    def _remembered(self, name: str) -> int | None:
        try:
            return int((self.folder / name).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _configure(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "port").write_text(f"{self.port}\n")
        (self.folder / "controller-port").write_text(f"{self._controller}\n")
        config = self.folder / "server.properties"
        logs = self.folder / "logs"
        text = SETTINGS.format(host=HOST, port=self.port, controller=self._controller, logs=logs)
        config.write_text(text)
        return config

    def _format(self, config: Path) -> None:
        if (self.folder / "logs" / "meta.properties").exists():
            return
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
        command = [*self._java("-Xmx256m"), "kafka.tools.StorageTool"]
        command += ["format", "--standalone", "-t", cluster, "-c", str(config)]
        status, said = _run(command, START_SECONDS, self.folder)
        if status != 0:
            raise BrokerUnavailable(f"Kafka's storage could not be formatted: {said}")

    def _java(self, memory: str) -> list[str]:
        java = shutil.which("java")
        if java is None:
            raise BrokerUnavailable("java (17 or newer) is needed to run Kafka")
        level = "-Dorg.slf4j.simpleLogger."
        return [
            java, memory, f"{level}defaultLogLevel=warn", f"{level}log.kafka.server.KafkaRaftServer=info",
            "-cp", f"{self._jars}/*",
        ]  # fmt: skip

    def _accepts(self, seen: int) -> bool:
        """Its log says so and its port answers. Only what this start has written counts."""
        with self.output.open("rb") as output:
            output.seek(seen)
            if STARTED.encode() not in output.read():
                return False
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _tail(self) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-15:])


def _run(command: list[str], seconds: float, folder: Path) -> tuple[int, str]:
    """Exit status, and the end of what it said."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds, cwd=folder)
    except subprocess.TimeoutExpired:
        return 1, f"it took longer than {seconds:.0f} seconds"
    return done.returncode, (done.stdout + done.stderr).strip()[-2000:]


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="A real Apache Kafka broker, without a container image.")
    start = parser.add_subparsers(dest="command", required=True).add_parser("start", help="run until Ctrl-C")
    start.add_argument("--data", type=Path, required=True, help="folder for everything the broker keeps")
    start.add_argument("--port", type=int, help="default: that of last time, else a free one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    broker = None
    try:
        broker = Broker(options.data, fetch_jars(), port=options.port)
        print(f"Kafka is ready at {broker.start()} (Ctrl-C stops it; data in {broker.folder})", flush=True)
        return broker.wait()
    except BrokerUnavailable as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        if broker is not None:
            broker.stop()


if __name__ == "__main__":
    sys.exit(main())
