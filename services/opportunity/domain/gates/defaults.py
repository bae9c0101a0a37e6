"""The book that an installation begins with: few rules, most of which warn. Limits and numbers are the house's to change."""

from typing import Final

from services.opportunity.domain.gates.book import DefineAuthority, DefineGate
from shared.contracts.opportunity import Condition, GateRule, Grant, Guard, ProofCase
from shared.kit.money import Money

_SOMETHING = Money(minor=1, currency="CNY")

DEFAULT_AUTHORITY: Final = DefineAuthority(
    standard_payment_days=30,
    grants=(
        Grant(role="seller", kind="discount", most=500),
        Grant(role="manager", kind="discount", most=1_500),
        Grant(role="executive", kind="discount"),
        Grant(role="seller", kind="price", most=500),
        Grant(role="manager", kind="price", most=1_500),
        Grant(role="executive", kind="price"),
        Grant(role="manager", kind="payment_terms", most=60),
        Grant(role="finance", kind="payment_terms", most=120),
        Grant(role="executive", kind="payment_terms"),
        Grant(role="manager", kind="non_standard_promise"),
        Grant(role="executive", kind="non_standard_promise"),
    ),
)


def _leaving(stage: str) -> tuple[Guard, ...]:
    """Whoever skips it leaves it behind as well."""
    return Guard(act="stage_completed", stages=(stage,)), Guard(act="stage_skipped", stages=(stage,))


PRICE_FOR_TERMS: Final = GateRule(
    names={"en": "A lower price for better payment", "zh": "降价须换取更好的付款条件"},
    guards=(Guard(act="discount"), Guard(act="price")),
    requires=Condition(fact="payment_days_saved", test="above", value=0),
    mode="warn",
    message={
        "en": "The price goes down and the customer pays no earlier: ask for a better payment term in return",
        "zh": "价格下降而付款条件没有改善：请争取更好的付款条件作为交换",
    },
    proofs=(
        ProofCase(name="nothing in return", facts={"payment_days_saved": 0}, expect="fires"),
        ProofCase(name="paid a month earlier", facts={"payment_days_saved": 30}, expect="passes"),
        ProofCase(name="paid even later", facts={"payment_days_saved": -30}, expect="fires"),
    ),
)
PROMISE_AGREED: Final = GateRule(
    names={"en": "Promises that can be kept", "zh": "承诺须能兑现"},
    guards=(Guard(act="non_standard_promise"),),
    requires=Condition(
        any_of=tuple(
            Condition(fact="promise_agreed_by", test="has", value=function)
            for function in ("technical", "quality", "purchasing", "delivery")
        )
    ),
    mode="control",
    message={
        "en": "Nobody who must keep this promise has agreed to it",
        "zh": "须兑现该承诺的部门尚未同意",
    },
    proofs=(
        ProofCase(name="nobody was asked", facts={}, expect="fires"),
        ProofCase(name="purchasing agrees", facts={"promise_agreed_by": ("purchasing",)}, expect="passes"),
        ProofCase(name="only sales agrees", facts={"promise_agreed_by": ("sales",)}, expect="fires"),
    ),
)
PROPOSAL_WORTH_IT: Final = GateRule(
    names={"en": "A proposal worth designing", "zh": "正式方案须值得投入"},
    guards=_leaving("demonstration"),
    requires=Condition(
        all_of=(Condition(fact="amount", test="known"), Condition(fact="days_to_close", test="at_least", value=0))
    ),
    mode="warn",
    message={
        "en": "The formal proposal will be costly: say first what the deal may be worth and when it may close",
        "zh": "正式方案投入较大：请先说明商机金额和预计成交日期",
    },
    proofs=(
        ProofCase(name="neither is known", facts={}, expect="fires"),
        ProofCase(
            name="both are known",
            facts={"amount": _SOMETHING, "days_to_close": 90},
            expect="passes",
        ),
    ),
)
BID_IN_SYNC: Final = GateRule(
    names={"en": "Preferred by a customer who evaluates", "zh": "客户须已进入评估阶段"},
    guards=_leaving("evaluation"),
    requires=Condition(none_of=(Condition(fact="synchrony", test="is", value="ahead"),)),
    mode="warn",
    message={
        "en": "We count as preferred while the customer still stands before that: look at its buying stage",
        "zh": "我方已视为首选，而客户采购阶段尚未到位：请核实采购阶段",
    },
    proofs=(
        ProofCase(name="ahead of the customer", facts={"synchrony": "ahead"}, expect="fires"),
        ProofCase(name="together", facts={"synchrony": "in_sync"}, expect="passes"),
    ),
)
WIN_ON_RECORD: Final = GateRule(
    names={"en": "A win that can be counted", "zh": "赢单须可核算"},
    guards=(Guard(act="win"),),
    requires=Condition(
        all_of=(
            Condition(fact="account", test="known"),
            Condition(fact="owner", test="known"),
            Condition(fact="amount", test="known"),
        )
    ),
    mode="warn",
    message={
        "en": "It is won, but not on record whose it is or what it is worth",
        "zh": "已赢单，但客户、负责人或金额尚未登记",
    },
    proofs=(
        ProofCase(name="nothing is on record", facts={}, expect="fires"),
        ProofCase(
            name="all is on record",
            facts={"account": "a", "owner": "o", "amount": _SOMETHING},
            expect="passes",
        ),
    ),
)

DEFAULT_GATES: Final = {
    "price_for_terms": DefineGate(rule=PRICE_FOR_TERMS),
    "promise_agreed": DefineGate(rule=PROMISE_AGREED),
    "proposal_worth_it": DefineGate(rule=PROPOSAL_WORTH_IT),
    "bid_in_sync": DefineGate(rule=BID_IN_SYNC),
    "win_on_record": DefineGate(rule=WIN_ON_RECORD),
}
