"""Who may call which route, and what becomes of records that are not theirs: written by hand, route by route.

The routes declare their roles themselves; this table says the same a second time, so that neither can be changed alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Behind(StrEnum):
    """What stands behind a route, and so what is hidden of it."""

    OPEN = "open to everybody, without a token"
    TOKEN = "every valid token, one without a role too"
    HOUSE = "the same for everybody who has the role"
    RECORD = "one record: 403 `not_yours` for one out of reach"
    HOLDER = "something new for somebody: 403 for somebody out of reach"
    LIST = "records in reach, and figures of them alone"
    OWN = "something of one's own"


@dataclass(frozen=True)
class Row:
    """`roles`: initials of the roles that may. `body`, `query`, `path`: a request that is right but for who sends it; `$name`
    stands for an id of the scene, `$record` for that of the record it is about. `only`: of those in reach, who may.
    `still`: a list that other people's records do not change in anybody's eyes."""

    method: str
    path: str
    roles: str
    behind: Behind
    body: Any = None
    query: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    only: str = ""
    files: bool = False
    still: bool = False
    content_type: str = "application/json"

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


INITIALS = {
    "S": "seller", "M": "manager", "E": "executive", "F": "finance", "O": "operations", "I": "integration",
}  # fmt: skip
EVERYBODY, SELLING, HOUSE, RULES = "SMEFOI", "SMEOI", "EOI", "EO"
OPEN, TOKEN, ALL, RECORD, HOLDER, LIST, OWN = Behind
CNY = {"minor": 12_500_000, "currency": "CNY"}
NOTE = {"note": "Minutes of the meeting"}
NAME = {"name": "Any"}
SCORES = dict.fromkeys(
    ("project_grade", "funding", "technical_fit", "relationship", "customer_credit", "product_advantage",
     "price_advantage", "solution_advantage", "service_advantage"), 2,
)  # fmt: skip
KEY = {"entity_id": "$key"}  # one with the role of who asks, for nobody gives away a role that they do not have
LINK = {"system": "erp", "external_id": "E-1"}


def _kind(path: str, roles: str, new: Any) -> tuple[Row, ...]:
    """What accounts, people, teams and products have alike."""
    one = {"entity_id": f"${path.strip('/')}"}
    external = {"system": "crm", "external_id": "N-1"}
    return (
        Row("GET", path, EVERYBODY, ALL),
        Row("GET", f"{path}/by-external/{{system}}/{{external_id:path}}", EVERYBODY, ALL,
            values={"system": "crm", "external_id": "KNOWN"}),
        Row("GET", f"{path}/{{entity_id}}", EVERYBODY, ALL, values=one),
        Row("GET", f"{path}/{{entity_id}}/history", EVERYBODY, ALL, values=one),
        Row("PUT", f"{path}/by-external/{{system}}/{{external_id:path}}", HOUSE, ALL, new, values=external),
        Row("POST", path, roles, ALL, new),
        Row("POST", f"{path}/{{entity_id}}/external-ids", HOUSE, ALL, LINK, values=one),
        Row("POST", f"{path}/csv", HOUSE, ALL, "external_id,name\nN-2,Any\n", {"system": "crm"}, content_type="text/csv"),
    )  # fmt: skip


def _change(path: str, roles: str, body: Any) -> Row:
    return Row("POST", path, roles, ALL, body, values={"entity_id": f"${path.split('/')[1]}"})


OPERATING = (
    *(Row("GET", path, "", OPEN) for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/redoc")),
    Row("GET", "/docs/oauth2-redirect", "", OPEN),
    Row("GET", "/events", HOUSE, ALL),
    Row("GET", "/me", "", TOKEN),
    Row("GET", "/api-key-uses", RULES, ALL),
)

ACCOUNT = (
    *OPERATING,
    *_kind("/accounts", SELLING, NAME),
    Row("GET", "/accounts/{entity_id}/tree", EVERYBODY, ALL, values={"entity_id": "$accounts"}),
    Row("POST", "/accounts:batch", HOUSE, ALL, {"items": [NAME]}),
    _change("/accounts/{entity_id}/name", SELLING, NAME),
    _change("/accounts/{entity_id}/details", SELLING, {"industry": "power"}),
    _change("/accounts/{entity_id}/flags", SELLING, {"flags": ["name_unlikely"]}),
    _change("/accounts/{entity_id}/parent", HOUSE, {"parent": None}),
    *_kind("/people", HOUSE, NAME),
    _change("/people/{entity_id}/details", HOUSE, {"email": "any@example.com"}),
    _change("/people/{entity_id}/leave", HOUSE, {}),
    _change("/people/{entity_id}/return", HOUSE, {}),
    *_kind("/teams", HOUSE, NAME),
    Row("GET", "/teams/{entity_id}/members", EVERYBODY, ALL, values={"entity_id": "$teams"}),
    Row("GET", "/teams/{entity_id}/tree", EVERYBODY, ALL, values={"entity_id": "$teams"}),
    _change("/teams/{entity_id}/name", HOUSE, NAME),
    _change("/teams/{entity_id}/parent", HOUSE, {"parent": None}),
    _change("/teams/{entity_id}/members", HOUSE, {"person": {"id": "$people"}}),
    _change("/teams/{entity_id}/members/leave", HOUSE, {"person": {"id": "$people"}}),
    _change("/teams/{entity_id}/manager", HOUSE, {"person": {"id": "$people"}}),
    _change("/teams/{entity_id}/manager/relieve", HOUSE, {}),
    *_kind("/products", HOUSE, NAME),
    _change("/products/{entity_id}/change", HOUSE, {"series": "Any"}),
    _change("/products/{entity_id}/retire", HOUSE, {}),
    _change("/products/{entity_id}/relist", HOUSE, {}),
    Row("GET", "/api-keys", RULES, ALL),
    Row("GET", "/api-keys/{entity_id}", RULES, ALL, values=KEY),
    Row("GET", "/api-keys/{entity_id}/history", RULES, ALL, values=KEY),
    Row(
        "POST",
        "/api-keys",
        RULES,
        ALL,
        {"name": "Any", "roles": ["$role"], "scopes": ["account:read"], "expires_at": "2017-12-31T00:00:00+08:00"},
    ),
    Row("POST", "/api-keys/{entity_id}/rotation", RULES, ALL, {}, values=KEY),
    Row("POST", "/api-keys/{entity_id}/revocation", RULES, ALL, {"reason": "Not needed"}, values=KEY),
)


def _step(name: str, body: Any, roles: str = SELLING, **values: str) -> Row:
    return Row("POST", f"/opportunities/{{opportunity_id}}/{name}", roles, RECORD, body, values=values)


def _list(path: str, *, files: bool = False, still: bool = False, **query: Any) -> Row:
    return Row("GET", path, EVERYBODY, LIST, query=query, files=files, still=still)


def _defined(path: str, book: Any) -> tuple[Row, ...]:
    """What is defined version by version: everybody reads it, `RULES` change it."""
    return (
        Row("GET", path, EVERYBODY, ALL),
        Row("GET", f"{path}/versions", EVERYBODY, ALL),
        Row("POST", path, RULES, ALL, book),
    )


BETWEEN: dict[str, Any] = {"from": "2017-01-01", "to": "2017-07-14"}
OPPORTUNITY = (
    *OPERATING,
    # one opportunity
    Row("GET", "/opportunities/{opportunity_id}", EVERYBODY, RECORD),
    Row("GET", "/opportunities/{opportunity_id}/history", EVERYBODY, RECORD),
    Row("GET", "/opportunities/{opportunity_id}/files", EVERYBODY, RECORD),
    Row("GET", "/opportunities/{opportunity_id}/files/{file_id}", EVERYBODY, RECORD),
    Row("GET", "/opportunities/by-external/{system}/{external_id:path}", EVERYBODY, RECORD),
    Row("PUT", "/opportunities/by-external/{system}/{external_id:path}", SELLING, RECORD, NAME),
    _step("changes", {"changes": [{"action": "comment", "text": "Noted"}]}),
    _step("milestones", {"milestone": "priority_set", "evidence": NOTE}),
    _step(
        "milestones/{milestone}/retraction", {"stage": 1, "reason": "Another plant"}, milestone="information_gathered"
    ),
    _step("commitments", {"criterion": "meeting_agreed", "evidence": NOTE}),
    _step("commitments/{criterion}/retraction", {"stage": 1, "reason": "Called off"}, criterion="meeting_agreed"),
    _step("buying-stage", {"stage": 3, "evidence": NOTE}),
    _step("skips", {"stage": 1, "reason": "A framework agreement is in force"}),
    _step("regressions", {"to_completed": 0, "reason": "It begins again"}),
    _step("progress", {"completed_stage": 2, "note": "As in the former system"}, "OI"),
    _step("risk-decision", {"decision": "catch_up", "reason": "Two engineers join"}),
    _step("amount", {"amount": CNY}),
    _step("close-date", {"close_date": "2017-09-30"}),
    _step("line-items", {"line_items": [{"product_id": "$products", "quantity": 2, "unit_price": CNY}]}),
    _step("owner", {"owner_id": "$ann"}),
    _step("team", {"team_id": "$shanghai"}),
    _step("account", {"account_id": "$accounts"}),
    _step("name", NAME),
    _step("comments", {"text": "Noted"}),
    _step("flags", {"flags": ["amount_unlikely"]}),
    _step("assessment", {"scores": SCORES}),
    _step("effort", {"visits": 1, "minutes": 90}),
    _step("forecast", {"category": "best_case"}),
    _step("pause", {"reason": "The budget is frozen"}),
    _step("resume", {}),
    _step("win", {"evidence": NOTE}),
    _step("lose", {"reason": "Price"}),
    _step("abandon", {"reason": "Too small"}),
    _step("reopen", {"reason": "The other withdrew"}),
    _step(
        "concessions",
        {"concessions": [{"kind": "payment_terms", "payment_days": 0}], "reason": "They pay before"},
        EVERYBODY,
    ),
    Row(
        "POST",
        "/opportunities/{opportunity_id}/files",
        SELLING,
        RECORD,
        "Minutes",
        {"name": "minutes.txt"},
        content_type="text/plain",
    ),
    # new ones
    Row("POST", "/opportunities", SELLING, HOLDER, {"name": "New", "owner_id": "$record"}),
    Row("POST", "/opportunities:batch", SELLING, HOLDER, {"items": [{"name": "New", "owner_id": "$record"}]}),
    # lists and figures
    _list("/opportunities", files=True),
    _list("/board", process="default", group_by="stage"),
    _list("/funnel", group_by="state"),
    _list("/funnel/conversion", period="FY2017"),
    _list("/funnel/time-in-stage"),
    _list("/funnel/leakage", period="FY2017"),
    _list("/funnel/velocity", period="FY2017"),
    _list("/funnel/required", target_minor="100000000", target_currency="CNY"),
    _list("/pipeline", files=True, group_by="owner"),
    _list("/pipeline/anomalies", files=True),
    _list("/pipeline/waterfall", files=True, **BETWEEN),
    _list("/pipeline/waterfall/steps", files=True, **BETWEEN),
    _list("/priorities", files=True),
    # forecast
    _list("/forecast", files=True, period="FY2017"),
    _list("/forecast/accuracy", files=True, period="2017-Q2"),
    _list("/forecast/submissions", files=True),
    _list("/forecast/submissions/lines", files=True),
    Row("GET", "/forecast/submissions/{submission_id}", EVERYBODY, RECORD),
    Row("POST", "/forecast/submissions", SELLING, OWN, {"period": "2017-Q3"}),
    _list("/targets", files=True),
    Row(
        "POST",
        "/targets",
        "MEO",
        HOLDER,
        {"holder_kind": "person", "holder_id": "$record", "period": "2017-Q3", "amount": CNY},
    ),
    # money
    Row("GET", "/rates", EVERYBODY, ALL),
    Row(
        "POST",
        "/rates",
        "EFOI",
        ALL,
        {"from_currency": "USD", "to_currency": "CNY", "day": "2017-06-01", "rate": "6.8090", "source": "bank"},
    ),
    # waivers
    _list("/waivers"),
    Row(
        "POST",
        "/waivers",
        SELLING,
        RECORD,
        {"gate": "$gate", "opportunity_id": "$record", "reason": "Year end", "expires_at": "2017-07-20T18:00:00+08:00"},
    ),
    Row("GET", "/waivers/{waiver_id}", EVERYBODY, RECORD),
    Row("POST", "/waivers/{waiver_id}/approval", "ME", RECORD, {"note": "Until the visit"}),
    Row("POST", "/waivers/{waiver_id}/refusal", "ME", RECORD, {"reason": "Ask purchasing"}),
    Row("POST", "/waivers/{waiver_id}/withdrawal", SELLING, RECORD, {"reason": "They signed"}, only="who asked"),
    # gates and other rules
    _list("/gates/effectiveness"),
    _list("/gates/firings"),
    Row("GET", "/gates", EVERYBODY, ALL),
    Row("GET", "/gates/facts", EVERYBODY, ALL),
    Row("GET", "/gates/{key}", EVERYBODY, ALL, values={"key": "$gate"}),
    Row("GET", "/gates/{key}/versions", EVERYBODY, ALL, values={"key": "$gate"}),
    Row("GET", "/gates/{key}/retirements", EVERYBODY, ALL, values={"key": "$gate"}),
    Row("POST", "/gates", RULES, ALL, {"key": "another", "rule": "$rule"}),
    Row("POST", "/gates/{key}/versions", RULES, ALL, {"rule": "$rule"}, values={"key": "$gate"}),
    Row("POST", "/gates/{key}/retirement", RULES, ALL, {"reason": "Not needed"}, values={"key": "$gate"}),
    Row("GET", "/gates/proposals", RULES, ALL),
    Row("POST", "/gates/backtests", RULES, ALL, {"gate": "$gate"}),
    Row("POST", "/gates/backtest", RULES, ALL, {"gate": "$gate"}),
    Row("GET", "/gates/backtests", RULES, ALL),
    Row("GET", "/gates/backtest", RULES, ALL),
    Row("GET", "/gates/backtests/{run_id}", RULES, ALL, values={"run_id": "$run"}),
    Row("GET", "/gates/backtests/{run_id}/rows", RULES, ALL, values={"run_id": "$run"}),
    Row("GET", "/authority", EVERYBODY, ALL),
    Row("POST", "/authority", RULES, ALL, "$authority"),
    *_defined("/assessment-model", "$assessment-model"),
    *_defined("/anomaly-limits", "$anomaly-limits"),
    Row("GET", "/processes", EVERYBODY, ALL),
    Row("GET", "/processes/{key}", EVERYBODY, ALL, values={"key": "default"}),
    Row("PUT", "/processes/{key}", RULES, ALL, "$processes", values={"key": "another"}),
    # words
    Row("GET", "/people", EVERYBODY, ALL),
    Row("GET", "/teams", EVERYBODY, ALL),
    Row("GET", "/products", EVERYBODY, ALL),
    Row("GET", "/calendars", EVERYBODY, ALL),
    Row("GET", "/labels", "", TOKEN),
)

TABLE: Mapping[str, tuple[Row, ...]] = {"account": ACCOUNT, "opportunity": OPPORTUNITY}
