"""An invented CRM export of 8,800 opportunities, always the same: the shape of real ones, their gaps and slips among it."""

import csv
import random
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

OPPORTUNITIES = 8_800
ACCOUNTS, SELLERS, MANAGERS = 85, 35, 6
PRODUCTS = (("Pump Basic", "P", 550), ("Pump Pro", "P", 4_821), ("Valve S", "V", 55), ("Valve L", "V", 1_096),
            ("Drive One", "D", 3_393), ("Drive Plus", "D", 5_482), ("Plant", "X", 26_768))  # fmt: skip
FIRST = date(2016, 10, 20)
STAGES = ("Won",) * 48 + ("Lost",) * 28 + ("Engaging",) * 18 + ("Prospecting",) * 6  # of a hundred


def write_export(folder: Path, opportunities: int = OPPORTUNITIES) -> None:
    """The four files of the default mapping."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(8_800)
    accounts = [f"Company {n:02} · 第{n}公司" for n in range(ACCOUNTS)]
    sellers = [f"Seller {n:02}" for n in range(SELLERS)]
    _write(
        folder / "accounts.csv",
        ("account", "sector", "year_established", "revenue", "employees", "office_location", "subsidiary_of"),
        (
            (name, dice.choice(("retail", "medical", "technology")), 1980 + n % 40, f"{dice.randrange(9_999) / 10}",
             dice.randrange(5_000), "Norway", accounts[n - 1] if n % 6 == 5 else "")
            for n, name in enumerate(accounts)
        ),
    )  # fmt: skip
    _write(folder / "products.csv", ("product", "series", "sales_price"), PRODUCTS)
    _write(
        folder / "sales_teams.csv",
        ("sales_agent", "manager", "regional_office"),
        ((name, f"Manager {n % MANAGERS}", ("North", "South", "West")[n % 3]) for n, name in enumerate(sellers)),
    )
    _write(
        folder / "sales_pipeline.csv",
        (
            "opportunity_id",
            "sales_agent",
            "product",
            "account",
            "deal_stage",
            "engage_date",
            "close_date",
            "close_value",
        ),
        (_opportunity(dice, n, accounts, sellers) for n in range(opportunities)),
    )


def _opportunity(dice: random.Random, number: int, accounts: list[str], sellers: list[str]) -> tuple[object, ...]:
    stage, (product, _, price) = dice.choice(STAGES), dice.choice(PRODUCTS)
    opened = FIRST + timedelta(days=dice.randrange(400))
    closed = opened + timedelta(days=dice.randrange(1, 120))
    ended = stage in ("Won", "Lost")
    worth = {"Won": round(price * dice.uniform(0.8, 1.2)), "Lost": 0}.get(stage, "")
    account = "" if not ended and dice.random() < 0.68 else dice.choice(accounts)
    spelled = product.replace(" ", "") if dice.random() < 0.15 else product
    return (
        f"K{number:07}", dice.choice(sellers), spelled, account, stage, "" if stage == "Prospecting" else _day(opened),
        _day(closed) if ended else "", worth,
    )  # fmt: skip


def _day(day: date) -> str:
    return f"{day.month}/{day.day}/{day.year}"


def _write(file: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(header)
        writer.writerows(rows)
