"""Settings from the environment: every fault by its variable's name, never a secret's value."""

import pytest

from shared.kit.settings import API_NEEDS, PREFIX, WORKER_NEEDS, Settings, SettingsError, load_settings

COMPLETE = {
    "DATABASE_URL": "postgresql://keyfold:hunter2hunter2@db/postgres",
    "LOG_URL": "kafka://kafka:9092",
    "SECRET": "hunter2hunter2hunter2",
    "ISSUER": "https://login.example.test",
    "FILES_URL": "s3://deals?endpoint=https://s3.example.test",
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


def loaded(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    return load_settings()


def test_nothing_set_is_the_embedded_form() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert (settings.host, settings.port, settings.time_zone) == ("127.0.0.1", 8080, "Asia/Shanghai")


def test_every_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(
            monkeypatch,
            PORT="99999",
            TIME_ZONE="Asia/Atlantis",
            DATABASE_URL="kafka://kafka:9092",
            LOG_URL="amqp://queue",
            JWKS_URL="login.example.test/keys",
            FILES_URL="ftp://files",
            FILES_LARGEST="0",
            SECRET="too short",
            FISCAL_YEAR_START_MONTH="13",
            LOG_LEVEL="loud",
        )
    faults = str(refused.value).splitlines()
    assert sorted(fault.split(": ")[0] for fault in faults) == sorted(
        f"{PREFIX}{name}"
        for name in (
            "PORT", "TIME_ZONE", "DATABASE_URL", "LOG_URL", "JWKS_URL", "SECRET", "FISCAL_YEAR_START_MONTH", "LOG_LEVEL",
            "FILES_URL", "FILES_LARGEST", "JWKS_URL needs KEYFOLD_ISSUER",
        )
    )  # fmt: skip
    assert "Asia/Atlantis" in next(fault for fault in faults if "TIME_ZONE" in fault)


@pytest.mark.parametrize("name", ["DATABASE_URL", "LOG_URL", "SECRET"])
def test_a_faulty_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(monkeypatch, **{name: "hunter2"})
    assert "hunter2" not in str(refused.value)
    assert f"{PREFIX}{name}" in str(refused.value)


@pytest.mark.parametrize("name", ["DATABASE_URL", "LOG_URL"])
@pytest.mark.parametrize(
    "rest", ["hunter2/x@127.0.0.1/db", "hunter2#x@127.0.0.1/db", "[hunter2@db/db", "x@db:hunter2/db"]
)
def test_an_address_that_cannot_be_read_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch, name: str, rest: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^{PREFIX}{name}: host and port cannot be read") as refused:
        loaded(monkeypatch, **{name: f"postgresql://u:{rest}"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("address", ["postgresql://u:a%2Fb@one:5432,two/db", "postgresql://u@[::1]:5432/db"])
def test_an_address_with_several_hosts_or_escapes_is_taken(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert loaded(monkeypatch, DATABASE_URL=address).database_url is not None


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, **COMPLETE)
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hunter2" not in shown


def test_an_issuer_that_can_be_asked_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, ISSUER="https://login.example.test").jwks_url is None


@pytest.mark.parametrize("issuer", ["login.example.test", "urn:login", "https://[", "ftp://login.example.test"])
def test_an_issuer_that_cannot_be_asked_needs_the_address_of_its_keys(
    monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    with pytest.raises(SettingsError, match=r"^KEYFOLD_JWKS_URL: not set, and KEYFOLD_ISSUER is no address"):
        loaded(monkeypatch, ISSUER=issuer)
    assert loaded(monkeypatch, ISSUER=issuer, JWKS_URL="https://login.example.test/keys").issuer == issuer


def test_keys_without_an_issuer_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="KEYFOLD_JWKS_URL needs KEYFOLD_ISSUER"):
        loaded(monkeypatch, JWKS_URL="https://login.example.test/keys")


@pytest.mark.parametrize("name", ["FILES_KEY", "FILES_SECRET"])
def test_half_a_key_of_the_files_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SettingsError, match="KEYFOLD_FILES_KEY and KEYFOLD_FILES_SECRET") as refused:
        loaded(monkeypatch, **{name: "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_processes_that_run_apart_need_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, **COMPLETE).require(*API_NEEDS)
    assert [name.upper() for name in API_NEEDS] == list(COMPLETE)
    assert set(WORKER_NEEDS) < set(API_NEEDS)


@pytest.mark.parametrize("given", [(), ("DATABASE_URL",), ("DATABASE_URL", "LOG_URL", "SECRET")])
def test_all_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]) -> None:
    settings = loaded(monkeypatch, **{name: COMPLETE[name] for name in given})
    with pytest.raises(SettingsError) as refused:
        settings.require(*API_NEEDS)
    named = [line.split(":")[0].removeprefix(PREFIX) for line in str(refused.value).splitlines()]
    assert named == [name for name in COMPLETE if name not in given]


def test_what_is_wrong_misspelt_missing_and_torn_is_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYFOLD_DATABSE_URL", "postgresql://keyfold:hunter2@db/postgres")
    monkeypatch.setenv("KEYFOLD_XYZZY", "hunter2")
    monkeypatch.setenv("KEYFOLD_JWKS_URL", "https://login.example.test/keys")
    monkeypatch.setenv("KEYFOLD_FILES_KEY", "hunter2")
    monkeypatch.setenv("KEYFOLD_PORT", "many")
    with pytest.raises(SettingsError) as refused:
        load_settings(*API_NEEDS)
    faults = str(refused.value).splitlines()
    told = {fault.split(":")[0] for fault in faults}
    missing = {f"{PREFIX}{name.upper()}" for name in API_NEEDS}
    torn = {"KEYFOLD_JWKS_URL needs KEYFOLD_ISSUER", "KEYFOLD_FILES_KEY and KEYFOLD_FILES_SECRET belong together"}
    assert told == missing | torn | {"KEYFOLD_DATABSE_URL", "KEYFOLD_XYZZY", "KEYFOLD_PORT"}
    assert "KEYFOLD_DATABSE_URL: no such setting; is KEYFOLD_DATABASE_URL meant?" in faults
    assert "hunter2" not in str(refused.value)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, FILES_KEY="", LOG_LEVEL="", SECRET="").secret is None


def test_variables_of_the_tests_are_no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, REQUIRE_KAFKA="1", SEED="7")
