"""Builds the images that docker-compose.yml pulls, where no registry of images can be reached.

    sudo python deploy/images.py [NAME …] [--again]

From Debian's packages (PostgreSQL, HAProxy, Python) and Maven Central's (Kafka, Keycloak) it makes images under the very names
that docker-compose.yml and deploy/Dockerfile pull, which behave like them, and last Keyfold's own: after it, `docker compose up -d`
runs unchanged. NAME: python, postgres, haproxy, kafka, keycloak, keyfold; default: all but those that are there; with --again they
are built anew. Needs Docker, debootstrap (as root), mvn and java, and the packages of `make install`. The certificates that this
machine trusts beside the usual ones are put into the base, so that builds reach their packages through a proxy of the house. Where
images can be pulled there is no use for it.
"""

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parent
ROOT = DEPLOY.parent
BASE, SUITE, MIRROR = "debian:trixie-slim", "trixie", "http://deb.debian.org/debian"
OWN_CERTIFICATES = Path("/usr/local/share/ca-certificates")


class CannotBuildError(RuntimeError):
    """The message says what is missing."""


def names() -> dict[str, str]:
    """The image to stand in for, by the folder below deploy/images/ that makes it."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    python = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if python is None:
        raise CannotBuildError("deploy/Dockerfile names no PYTHON_IMAGE")
    pulled = {"postgres": "postgres", "haproxy": "gateway", "kafka": "kafka", "keycloak": "keycloak"}
    return {"python": python[1], **{folder: services[service]["image"] for folder, service in pulled.items()}}


def run(*command: str) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True)


def exists(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0  # noqa: S607


def base(work: Path) -> None:
    """A minimal Debian."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise CannotBuildError("debootstrap makes the base image: install it, and run this as root")
    system = work / "debian"
    run("debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(system), MIRROR)
    for certificate in OWN_CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, system / OWN_CERTIFICATES.relative_to("/") / certificate.name)
    run("chroot", str(system), "update-ca-certificates")
    shutil.rmtree(system / "var/cache/apt/archives", ignore_errors=True)
    packed = work / "debian.tar"
    run("tar", "-C", str(system), "-cf", str(packed), ".")
    run("docker", "import", "-c", 'CMD ["bash"]', str(packed), BASE)


def kafka_jars(context: Path) -> None:
    fetch_jars = runpy.run_path(str(DEPLOY / "kafka" / "broker.py"))["fetch_jars"]
    shutil.copytree(fetch_jars(), context / "jars")


def keycloak_distribution(context: Path) -> None:
    version = names()["keycloak"].rpartition(":")[2]
    artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
    run("mvn", "-q", "-B", f"{plugin}:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={context}")
    packed = next(context.glob("keycloak-quarkus-dist-*.zip"))
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(context)
    packed.unlink()
    next(context.glob("keycloak-[0-9]*")).rename(context / "keycloak")
    (context / "keycloak" / "bin" / "kc.sh").chmod(0o755)


WANTED: dict[str, Callable[[Path], None]] = {"kafka": kafka_jars, "keycloak": keycloak_distribution}


def build(folder: str, image: str, work: Path) -> None:
    context = work / folder
    shutil.copytree(DEPLOY / "images" / folder, context)
    if folder in WANTED:
        WANTED[folder](context)
    run("docker", "build", "--network", "host", "--tag", image, str(context))


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the images that docker-compose.yml pulls, without a registry.")
    stand_ins = names()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(stand_ins)}, keyfold; default: all")
    parser.add_argument("--again", action="store_true", help="also those that are there")
    options = parser.parse_args()
    if unknown := set(options.names) - {*stand_ins, "keyfold"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    wanted = options.names or [*stand_ins, "keyfold"]
    try:
        with tempfile.TemporaryDirectory(prefix="keyfold-images-") as work:
            if not exists(BASE):
                base(Path(work))
            for folder in (one for one in stand_ins if one in wanted):
                if options.again or not exists(stand_ins[folder]):
                    build(folder, stand_ins[folder], Path(work))
        if "keyfold" in wanted:
            image = os.environ.get("KEYFOLD_IMAGE", "keyfold:local")
            run("docker", "build", "--network", "host", "--tag", image, "--file", str(DEPLOY / "Dockerfile"), str(ROOT))
    except (CannotBuildError, FileNotFoundError, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
