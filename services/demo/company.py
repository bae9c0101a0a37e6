"""The invented company as it is written down in `company.yaml` and `notes.yaml`. A slip in either is a ValidationError."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

FOLDER = Path(__file__).parent

Role = Literal["executive", "manager", "seller"]
Currency = Literal["CNY", "USD"]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(Part):
    zh: str
    en: str

    @property
    def names(self) -> dict[str, str]:
        return {"en": self.en, "zh": self.zh}


class Product(Named):
    """Prices in whole yuan and whole dollars."""

    series: str
    CNY: int
    USD: int

    def price(self, currency: Currency) -> int:
        return self.CNY if currency == "CNY" else self.USD


class Person(Named):
    role: Role


class Team(Named):
    manager: str
    members: tuple[str, ...]
    under: str | None = None


class Move(Part):
    """Days before today on which a person left one team for another."""

    person: str
    leaves: str
    joins: str
    days_ago: int


class Leaver(Part):
    person: str
    days_ago: int
    reason: str


class Account(Named):
    """`language`: that of the notes and names of its opportunities; it also decides the currency."""

    industry: str
    language: Literal["zh", "en"]
    contacts: tuple[str, str, str]
    under: str | None = None

    @property
    def name(self) -> str:
        return self.zh if self.language == "zh" else self.en

    @property
    def currency(self) -> Currency:
        return "CNY" if self.language == "zh" else "USD"


class Company(Part):
    products: dict[str, Product]
    people: dict[str, Person]
    teams: dict[str, Team]
    moves: tuple[Move, ...]
    leavers: tuple[Leaver, ...]
    accounts: dict[str, Account]

    def team_of(self, person: str, days_ago: float) -> str:
        """The team in which the person sold then."""
        for move in self.moves:
            if move.person == person:
                return move.leaves if days_ago > move.days_ago else move.joins
        return next(key for key, team in self.teams.items() if person in team.members)


Notes = dict[str, dict[Literal["zh", "en"], tuple[str, ...]]]
"""Requirement of the default process → language → what people write when they tick it off."""


@cache
def company() -> Company:
    return Company.model_validate(yaml.safe_load((FOLDER / "company.yaml").read_text(encoding="utf-8")))


@cache
def notes() -> Notes:
    return TypeAdapter(Notes).validate_python(yaml.safe_load((FOLDER / "notes.yaml").read_text(encoding="utf-8")))
