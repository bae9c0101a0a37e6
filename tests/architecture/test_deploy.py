"""What is deployed fits together: compose, gateway, databases, image and `.env.example` name the same services and settings."""

import re
import runpy
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.catalogue import SERVICES
from services.installation import service_database
from shared.kit.settings import API_NEEDS, OTHERS, PREFIX, WORKER_NEEDS, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
PARTS: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
GATEWAY = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
OURS = {
    f"{service}-{kind}": (command, service)
    for service in SERVICES
    for kind, command in {"api": "serve", "worker": "work", "migrate": "migrate"}.items()
}
SERVERS = {"postgres", "kafka", "gateway", "keycloak"}
BY_HAND = {"tools", "backup"}
OF_THE_IMAGE = {"host", "data", "port"}  # what deploy/Dockerfile sets, or nobody has to
NOT_HANDED_ON = OF_THE_IMAGE | {"root_path"}


def test_every_service_has_its_processes() -> None:
    assert set(PARTS) == set(OURS) | SERVERS | BY_HAND
    for name, (command, service) in OURS.items():
        assert PARTS[name]["command"] == [command, service]


@pytest.mark.parametrize("name", OURS)
def test_a_process_is_told_what_it_needs_and_gets_into_its_own_database_only(name: str) -> None:
    command, service = OURS[name]
    environment = PARTS[name]["environment"]
    told = {variable.removeprefix(PREFIX).lower() for variable in environment if not variable.startswith("OTEL_")}
    assert told <= set(Settings.model_fields)
    assert told >= set(API_NEEDS if command == "serve" else WORKER_NEEDS)
    own = service_database(service)
    address = environment["KEYFOLD_DATABASE_URL"]
    assert address.startswith(f"postgresql://{own}:${{DATABASE_PASSWORD_{service.upper()}:?")
    assert address.endswith(f"@postgres/{own}")
    assert environment.get("KEYFOLD_ROOT_PATH") == (f"/{service}" if command == "serve" else None)


def test_every_setting_can_be_handed_on() -> None:
    told = {variable for name in OURS for variable in PARTS[name]["environment"]}
    assert all("OTEL_EXPORTER_OTLP_ENDPOINT" in PARTS[name]["environment"] for name in OURS)
    assert {PREFIX + name.upper() for name in set(Settings.model_fields) - NOT_HANDED_ON} <= told


@pytest.mark.parametrize("name", sorted(PARTS))
def test_every_container_is_confined_and_can_be_scaled(name: str) -> None:
    part = PARTS[name]
    assert "container_name" not in part
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert part.get("read_only", False) is (name != "keycloak")
    ends_by_itself = name.endswith("-migrate") or name in BY_HAND
    assert part["restart"] == ("no" if ends_by_itself else "unless-stopped")
    assert ("healthcheck" in part) is not ends_by_itself
    assert (part.get("profiles") == ["tools"]) is (name in BY_HAND)


@pytest.mark.parametrize("name", [*sorted(BY_HAND), *(name for name in OURS if name.endswith("-api"))])
def test_whoever_looks_for_files_is_told_where_they_are(name: str) -> None:
    environment = PARTS[name]["environment"]
    assert environment["KEYFOLD_FILES_URL"] == "${KEYFOLD_FILES_URL:-file:///files}"
    assert {"KEYFOLD_FILES_KEY", "KEYFOLD_FILES_SECRET"} <= set(environment)
    assert "files:/files" in PARTS[name]["volumes"]


def test_one_port_is_published_and_only_on_this_machine() -> None:
    published = {name: part["ports"] for name, part in PARTS.items() if "ports" in part}
    assert published == {"gateway": ["127.0.0.1:${KEYFOLD_PORT:-8080}:8080"]}
    assert "data" not in PARTS["gateway"]["networks"]


def test_the_example_names_what_compose_reads_and_nothing_else() -> None:
    read = set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE.replace("$$", "")))
    read |= set(re.findall(r"^ +((?:KEYFOLD|OTEL)_[A-Z0-9_]+):$", COMPOSE, re.MULTILINE)) | {"COMPOSE_PROFILES"}
    assert set(re.findall(r"^#?([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE)) == read
    secret = {name for name in read if "PASSWORD" in name or name.endswith("_SECRET")} - {"KEYFOLD_FILES_SECRET"}
    assert set(re.findall(r"^([A-Z0-9_]+)=$", EXAMPLE, re.MULTILINE)) == secret


def test_every_variable_with_our_prefix_is_a_setting_or_known_to_be_none() -> None:
    files = [ROOT / "docker-compose.yml", ROOT / ".env.example", ROOT / "Makefile", *(ROOT / "tests").rglob("*.py")]
    files += (ROOT / "shared" / "testing").glob("*.py")
    written = {name for file in files for name in re.findall(r"KEYFOLD_[A-Z0-9_]+\b", file.read_text(encoding="utf-8"))}
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert settings.isdisjoint(OTHERS)
    assert written - settings - OTHERS == {"KEYFOLD_DATABSE_URL", "KEYFOLD_XYZZY"}  # of the tests of faults


def test_the_databases_are_those_of_the_services() -> None:
    script = (ROOT / "deploy" / "postgres" / "10-keyfold.sh").read_text(encoding="utf-8")
    found = re.search(r'^SERVICES="(.*)"$', script, re.MULTILINE)
    assert found is not None
    assert found[1].split() == list(SERVICES)
    passwords = {name for name in PARTS["postgres"]["environment"] if name.startswith("DATABASE_PASSWORD_")}
    assert passwords == {f"DATABASE_PASSWORD_{name.upper()}" for name in [*SERVICES, "operator"]}


def test_every_database_is_made_with_the_locale_of_the_embedded_form() -> None:
    files = [*(ROOT / "services").rglob("*.py"), *(ROOT / "deploy" / "postgres").iterdir()]
    lines = [
        line for file in files for line in file.read_text(encoding="utf-8").splitlines() if "CREATE DATABASE" in line
    ]
    assert len(lines) == 3
    assert [line for line in lines if "LOCALE 'C'" not in line.replace("''", "'")] == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_gateway_leads_to_every_service(service: str) -> None:
    assert f"acl {service} path -m beg /{service}/\n" in GATEWAY
    assert f"use_backend {service} if {service}\n" in GATEWAY
    backend = GATEWAY.split(f"\nbackend {service}\n")[1].split("\nbackend ")[0]
    assert f" {service}-api:8080 check " in backend
    assert "option httpchk GET /readyz" in backend
    assert f'"{service}":{{"docs":"/{service}/docs","openapi":"/{service}/openapi.json"}}' in GATEWAY
    assert f"!{service} " in next(line for line in GATEWAY.splitlines() if line.endswith("!issuer"))


def test_an_api_that_stops_is_taken_out_before_it_refuses() -> None:
    checks = re.findall(r"-api:8080 check inter (\d+)s fall (\d+) ", GATEWAY)
    assert len(checks) == len(SERVICES)
    for seconds, times in checks:
        assert int(seconds) * int(times) < Settings.model_fields["unready_seconds"].default


def test_the_broker_is_that_of_the_tests() -> None:
    version = runpy.run_path(str(ROOT / "deploy" / "kafka" / "broker.py"))["kafka_version"]()
    assert PARTS["kafka"]["image"] == f"apache/kafka:{version}"


def test_the_issuer_is_that_of_the_tests() -> None:
    version = runpy.run_path(str(ROOT / "deploy" / "keycloak" / "server.py"))["VERSION"]
    assert PARTS["keycloak"]["image"] == f"quay.io/keycloak/keycloak:{version}"


def test_the_image_has_the_locked_packages_and_no_others() -> None:
    def pins(file: str) -> dict[str, str]:
        text = (ROOT / file).read_text(encoding="utf-8")
        return dict(re.findall(r"^([a-z0-9.-]+)(?:\[.+\])?==([^\s;]+)", text, re.MULTILINE | re.IGNORECASE))

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    all_pins, image = pins("requirements.lock"), pins("deploy/requirements.lock")
    assert image.items() <= all_pins.items()
    named = {re.split(r"[\[><=]", one)[0] for one in project["dependencies"]}
    assert named <= set(image), "compile deploy/requirements.lock again, without extras, with -c requirements.lock"
    assert {re.split(r"[\[><=]", one)[0] for one in project["optional-dependencies"]["dev"]}.isdisjoint(image)


def test_every_stand_in_has_a_folder_of_its_own() -> None:
    stand_ins: dict[str, str] = runpy.run_path(str(ROOT / "deploy" / "images.py"))["names"]()
    assert {folder.name for folder in (ROOT / "deploy" / "images").iterdir()} == set(stand_ins)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    write = runpy.run_path(str(ROOT / "deploy" / "env.py"))["write"]
    file = tmp_path / ".env"
    assert write(file)
    text = file.read_text(encoding="utf-8")
    made = dict(re.findall(r"^([A-Z0-9_]+)=([0-9a-f]{48})$", text, re.MULTILINE))
    assert set(made) == set(re.findall(r"^([A-Z0-9_]+)=$", EXAMPLE, re.MULTILINE))
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not write(file)
    assert file.read_text(encoding="utf-8") == text


def test_faults_of_an_env_file_are_named_at_once_and_never_its_values() -> None:
    script = runpy.run_path(str(ROOT / "deploy" / "env.py"))
    faults, text = script["faults"], script["filled"](EXAMPLE)
    assert list(faults(text, EXAMPLE)) == []
    broken = re.sub(r"^(POSTGRES_PASSWORD|KEYFOLD_INTEGRATION_SECRET)=.*$", r"\1=", text, flags=re.MULTILINE)
    broken += "DATABASE_PASWORD_ACCOUNT=x\nGATEWAY_XYZZY=1\nCOMPOSE_PROJECT_NAME=mine\n"
    assert list(faults(broken, EXAMPLE)) == [
        "KEYFOLD_INTEGRATION_SECRET: not set; .env.example says what it is",
        "POSTGRES_PASSWORD: not set; .env.example says what it is",
        "DATABASE_PASWORD_ACCOUNT: nothing reads it; is DATABASE_PASSWORD_ACCOUNT meant?",
        "GATEWAY_XYZZY: nothing reads it; .env.example lists what there is",
    ]
    real = broken.replace("COMPOSE_PROFILES=issuer", "#COMPOSE_PROFILES=issuer")
    assert [one.split(":")[0] for one in faults(real, EXAMPLE)][:1] == ["POSTGRES_PASSWORD"]


def test_the_issuer_to_try_out_is_named_as_it_is_reached() -> None:
    """A line of an env file sees only those above it."""
    reached = PARTS["keycloak"]["environment"]["KC_HOSTNAME"]
    issuer = EXAMPLE.index(f"\nKEYFOLD_ISSUER={reached}/realms/keyfold\n")
    for name in re.findall(r"\$\{([A-Z_]+)", reached):
        assert -1 < EXAMPLE.find(f"\n#{name}=") < issuer


def test_the_number_of_processes_outlives_the_next_up() -> None:
    words = {"serve": "APIS", "work": "WORKERS"}
    for name, (command, service) in OURS.items():
        wanted = f"${{{service.upper()}_{words[command]}:-1}}" if command in words else None
        assert PARTS[name].get("scale") == wanted
