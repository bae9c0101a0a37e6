"""What `keyfold up` shows: an invented company when there is nothing else, addresses, a token, the funnel."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx

from services import console
from services.demo.load import COMPLETE, load_demo, logins
from services.imports.run import Services
from services.installation import Installation
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import Money
from shared.kit.permissions import ROLES
from shared.service.backend import Backend

DEMO_LOGIN = "operator"


async def is_first_start(backends: list[Backend]) -> bool:
    """Nothing has been recorded about any account."""
    return not any([await backend.store.head() for backend in backends if backend.service.name == "account"])


async def load_company(installation: Installation, backends: list[Backend]) -> None:
    commands = {backend.service.name: backend.commands for backend in backends}
    calendar = installation.settings.calendar
    with console.progress("invented company") as advance:
        await load_demo(
            Services(commands["account"], commands["opportunity"]),
            calendar,
            calendar.day_of(datetime.now(UTC)),
            advance,
        )


async def introduce(backends: list[Backend]) -> None:
    """One person of each role, through whose eyes the company can be seen, if it is the invented one that is there."""
    if not any([await backend.store.command(COMPLETE) for backend in backends]):
        return
    people = {login.role: login for login in reversed(logins())}
    shown = [
        {"login": one.subject, "name": one.name, "role": role, "token": f"keyfold token {one.subject} --role {role}"}
        for role, one in sorted(people.items())
    ]
    console.show("People of the invented company", shown)


async def greet(installation: Installation, backends: list[Backend], address: str, seconds: float) -> None:
    """Where it is, a token, and the funnel, asked for over HTTP as anybody would."""
    settings, show = installation.settings, console.screen.print
    show(f"\nReady after {seconds:.1f} s at {address}", style="bold", markup=False)
    for backend in backends:
        show(f"  {backend.service.name:<12} {address}/{backend.service.name}/docs", markup=False)
    if settings.issuer:
        show(f"  tokens       are those of {settings.issuer}", markup=False)
        return
    token = installation.own_issuer().mint(DEMO_LOGIN, ROLES, settings.audience)
    show("\nA token of this installation's own issuer, good for 30 days (`keyfold token --help` for others):")
    show(token, soft_wrap=True, markup=False, highlight=False)
    async with httpx.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await client.get("/opportunity/funnel", params={"group_by": "state"})
        figures = answer.raise_for_status().json()
    show("")
    console.show("The funnel today", _funnel(figures), empty="no open opportunity yet")
    show("\nTry:  curl -H 'Authorization: Bearer <token>' '<address>'", markup=False, soft_wrap=True)
    for words, path in worth_a_look(settings.calendar, settings.calendar.day_of(datetime.now(UTC))):
        show(f"  {words:<29} {address}{path}", markup=False, soft_wrap=True, highlight=False)
    show("Ctrl-C stops it.")


def worth_a_look(calendar: BusinessCalendar, today: date) -> list[tuple[str, str]]:
    """(what it answers, where) of the questions that a first look may begin with."""
    now = calendar.period_of_day(today, "quarter")
    last = calendar.preceding(now)
    before = last.first_day - timedelta(days=1)
    return [
        ("the board", "/opportunity/board?process=default&group_by=stage"),
        ("what moved the last quarter", f"/opportunity/pipeline/waterfall?from={before}&to={last.last_day}"),
        ("what this quarter promises", f"/opportunity/forecast?period={now}&group_by=owner"),
        ("what is abnormal, since when", "/opportunity/pipeline/anomalies"),
    ]


def _funnel(figures: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for figure in figures["figures"]:
        state = figure["groups"]["state"]
        row = {"state": state["value"], "opportunities": figure["count"]}
        worth = [f"{Money(minor=one['minor'], currency=one['currency'])}" for one in figure["worth"]]
        weighted = [f"{Money(minor=one['weighted_minor'], currency=one['currency'])}" for one in figure["worth"]]
        rows.append(row | {"worth": "  ".join(worth), "weighted": "  ".join(weighted)})
    return rows
