"""Settings from the environment (`KEYFOLD_…`), checked at start with every fault named at once."""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.kit.calendar import BusinessCalendar
from shared.kit.file_address import parse_file_address

PREFIX = "KEYFOLD_"


class SettingsError(ValueError):
    """The environment does not make a configuration; the message has a line per fault, with the variable's name."""


WORKER_NEEDS = ("database_url", "log_url", "secret")
"""What a worker that runs apart, and whoever migrates for it, must have been told."""
API_NEEDS = (*WORKER_NEEDS, "issuer", "files_url")
TOGETHER = (("files_key", "files_secret"),)
"""Settings of which one is nothing without the other."""
NEEDED_BY = (("issuer", "jwks_url"),)
"""Settings of which the first does without the second, but not the other way round."""
_TESTS = ("FAULTS_BOOK", "KAFKA", "REQUIRE_ISSUER", "REQUIRE_KAFKA", "S3", "S3_KEY", "S3_SECRET", "SEED", "SOAK")
_COMPOSE = ("BACKUP_IMAGE", "COMPOSE", "EXPORT", "FRONT_END", "IMAGE", "INTEGRATION_SECRET")
OTHERS = frozenset(f"{PREFIX}{name}" for name in (*_TESTS, *_COMPOSE))
"""Variables with our prefix that are not for a process of Keyfold, and may be set where one is started."""


class Settings(BaseSettings):
    """What an operator may set. Nothing set: everything in one process, on an embedded PostgreSQL below `data`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    data: Path = Field(default=Path(".keyfold"), description="folder of the embedded database, keys and ports")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(
        default=8080, ge=0, le=65_535, description="port to listen on; 0: a free one, which the log names"
    )
    unready_seconds: float = Field(
        default=3.0,
        ge=0,
        le=60,
        description="seconds that an API told to stop goes on answering while `/readyz` says 503: more than its gateway"
        " needs to see it",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL server (postgresql://user:password@host/postgres); each service has a database on it",
    )
    log_url: SecretStr | None = Field(
        default=None,
        description="kafka://host:port[,host:port], or postgresql://…/keyfold_log; default: the database server",
    )
    secret: SecretStr | None = Field(
        default=None, min_length=16, description="key of the hash kept of a command's input; the same for all processes"
    )
    issuer: str | None = Field(
        default=None,
        description="issuer (`iss`) of bearer tokens, to the letter; its `/.well-known/openid-configuration` says where"
        " its keys are",
    )
    jwks_url: str | None = Field(
        default=None,
        validate_default=True,
        description="where the issuer's public keys are, when it has no such document or is reached by another name",
    )
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="prefix under which a gateway shows an API that runs apart, such as `/opportunity`",
    )
    proxies: str = Field(
        default="127.0.0.1",
        description="addresses and networks, separated by commas, of gateways whose X-Forwarded-For is believed; `*` where"
        " nobody else reaches the port",
    )
    origins: str = Field(
        default="",
        description="origins of front ends in browsers that may call from another address, separated by commas, such as"
        " `https://sales.example.com`",
    )
    rate: float = Field(
        default=100,
        ge=0,
        description="requests a second that a process takes from one caller, on average; 0: as many as come",
    )
    rate_burst: int = Field(default=400, ge=1, description="of them at once")
    audience: str = Field(default="keyfold", min_length=1, description="audience (`aud`) that tokens must name")
    roles_claim: str = Field(default="roles", min_length=1, description="claim of a token that lists roles")
    subject_claim: str = Field(
        default="sub",
        min_length=1,
        description="claim of a token that names a person as Keyfold knows them, and in events; never one that users may"
        " change themselves, for who takes another's name sees what they see",
    )
    files_url: str | None = Field(
        default=None,
        description="where attached files are kept: file:///folder, or s3://bucket/prefix?endpoint=https://host&region=…;"
        " embedded, the folder `files` below the data folder",
    )
    files_key: SecretStr | None = Field(
        default=None, min_length=1, description="key of the S3 store; not set: as its client finds it on the machine"
    )
    files_secret: SecretStr | None = Field(default=None, min_length=1, description="secret of the S3 store")
    files_largest: int = Field(default=50 * 1024 * 1024, ge=1, description="bytes that one attached file may have")
    time_zone: str = Field(default="Asia/Shanghai", description="time zone of the business calendar")
    fiscal_year_start_month: int = Field(default=1, ge=1, le=12, description="month in which the fiscal year begins")
    week_start: int = Field(default=0, ge=0, le=6, description="first day of the week, 0 = Monday")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe line of the log: debug, info, warning, error"
    )
    log_format: Literal["json", "text"] = Field(default="json", description="of the log on standard error")

    @field_validator("database_url")
    @classmethod
    def _database_address(cls, value: SecretStr | None) -> SecretStr | None:
        return _address(value, ("postgresql", "postgres"))

    @field_validator("log_url")
    @classmethod
    def _log_address(cls, value: SecretStr | None) -> SecretStr | None:
        return _address(value, ("kafka", "postgresql", "postgres"))

    @field_validator("jwks_url")
    @classmethod
    def _web_address(cls, value: str | None, others: ValidationInfo) -> str | None:
        issuer = others.data.get("issuer")
        if value is not None and not _is_web(value):
            raise ValueError("an address begins with https:// or http:// and names a host")
        if value is None and issuer is not None and not _is_web(issuer):
            raise ValueError(
                f"not set, and {PREFIX}ISSUER is no address (https://…) that could tell where its keys are"
            )
        return value

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if torn := list(_torn(name for name in Settings.model_fields if getattr(self, name) is not None)):
            raise ValueError("\n".join(torn))
        return self

    @field_validator("files_url")
    @classmethod
    def _place_for_files(cls, value: str | None) -> str | None:
        if value is not None:
            parse_file_address(value)
        return value

    @field_validator("origins")
    @classmethod
    def _browsers_origins(cls, value: str) -> str:
        """No `*`: whatever page somebody has open would be a front end of ours."""
        for one in _parts(value):
            parts = urlsplit(one)
            if parts.scheme not in ("http", "https") or not parts.hostname or one != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(f"{one!r} is no origin: scheme and host, such as https://sales.example.com")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        BusinessCalendar(value)
        return value

    @property
    def calendar(self) -> BusinessCalendar:
        return BusinessCalendar(self.time_zone, self.fiscal_year_start_month, self.week_start)

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        return tuple(_parts(self.origins))

    def require(self, *names: str) -> None:
        """Raises SettingsError naming every one of these settings that is not set."""
        missing = [_missing(name) for name in names if getattr(self, name) is None]
        if missing:
            raise SettingsError("\n".join(missing))


def _is_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:  # such as an open bracket
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _missing(name: str) -> str:
    return f"{PREFIX}{name.upper()}: not set: {Settings.model_fields[name].description}"


def _parts(listed: str) -> list[str]:
    return [part.strip() for part in listed.split(",") if part.strip()]


def _address(value: SecretStr | None, known: tuple[str, ...]) -> SecretStr | None:
    if value is not None:
        parts = None
        try:
            parts = urlsplit(value.get_secret_value())
            # what stands before a slash in a password would be taken for host and port; of several hosts each has its own
            readable = all(_names_a_host(f"//{one}") for one in parts.netloc.rpartition("@")[2].split(","))
        except ValueError:  # whose message has the value
            readable = False
        if parts is None or not readable:
            raise ValueError(
                "host and port cannot be read; in a password write / as %2F, @ as %40, : as %3A, ? as %3F, # as %23, % as %25"
            )
        if parts.scheme not in known or not parts.netloc:
            raise ValueError(
                f"an address begins with one of {', '.join(f'{one}://' for one in known)} and names a host"
            )
    return value


def _names_a_host(address: str) -> bool:
    """Raises ValueError for a port that is none."""
    parts = urlsplit(address)
    return parts.port is None or bool(parts.hostname)


def load_settings(*needed: str) -> Settings:
    """`needed`: settings that have no default for what is to be started. Raises SettingsError with everything that is wrong."""
    given = [name for name, value in os.environ.items() if name.upper().startswith(PREFIX) and value]
    faults = [_unknown(name) for name in given if _setting(name) not in Settings.model_fields and name not in OTHERS]
    set_here = {_setting(name) for name in given}
    faults += [
        _missing(name) for name in needed if name not in set_here and Settings.model_fields[name].default is None
    ]
    settings = None
    try:
        settings = Settings()
    except ValidationError as error:
        faults += [_fault(one["loc"], one["msg"]) for one in error.errors() if one["loc"]]
        faults += _torn(set_here)
    if settings is None or faults:
        raise SettingsError("\n".join(faults))
    return settings


def _setting(variable: str) -> str:
    return variable[len(PREFIX) :].lower()


def _torn(given: Iterable[str]) -> Iterator[str]:
    """A line for each two settings that belong together of which one is given without the other."""
    names = set(given)
    for pair in TOGETHER:
        if len(names.intersection(pair)) == 1:
            yield f"{' and '.join(f'{PREFIX}{name.upper()}' for name in pair)} belong together: set both or neither"
    for first, second in NEEDED_BY:
        if second in names and first not in names:
            yield f"{PREFIX}{second.upper()} needs {PREFIX}{first.upper()}: set it too, or neither"


def _unknown(variable: str) -> str:
    near = get_close_matches(_setting(variable), list(Settings.model_fields), n=1, cutoff=0.5)
    meant = f"; is {PREFIX}{near[0].upper()} meant?" if near else "; README.md lists what there is"
    return f"{variable}: no such setting{meant}"


def _fault(where: tuple[int | str, ...], message: str) -> str:
    """A line about one variable, or about several that do not fit together. Never the value: it may be a secret."""
    message = message.removeprefix("Value error, ")
    return f"{PREFIX}{str(where[0]).upper()}: {message}" if where else message
