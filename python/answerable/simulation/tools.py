"""The tools of the simulated company, who may use them, and what they are called with."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import answerable as ans

if TYPE_CHECKING:
    from answerable.engine import Engine
    from answerable.simulation.company import Company

__all__ = ["DEPARTMENTS", "POLICIES", "SENTENCES", "Fault", "arguments_of", "covers", "tools_of"]

# Department: agents' roles, each with what they may use; the first plans and delegates.
DEPARTMENTS: dict[str, dict[str, list[str]]] = {
    "finance": {"planner": ["bank.**", "mail.**"], "payer": ["bank.**"], "clerk": ["mail.**"]},
    "support": {"lead": ["crm.**", "mail.**"], "reader": ["crm.read"], "writer": ["crm.**"]},
    "engineering": {"planner": ["code.**", "web.**"], "coder": ["code.**"], "scout": ["web.**"]},
    "sales": {"closer": ["crm.**", "mail.**", "web.**"], "mailer": ["mail.**"]},
    "people": {"assistant": ["hr.**", "mail.**"], "scheduler": ["mail.**"]},
}
SENTENCES = {
    "finance": "Settle the invoices of {}",
    "support": "Answer the tickets of {}",
    "engineering": "Fix the issues in {}",
    "sales": "Renew the contract with {}",
    "people": "Prepare the interviews for {}",
}
LARGE = 3_600  # From how much on a human is asked about a transfer.
POLICIES = f"""
@id("work") permit (principal, action, resource);

@id("large-transfers") @advice("ask") @reason("transfers of {LARGE:,} and more need a human")
permit (principal, action == Action::"bank.transfer", resource)
when {{ context.arguments.amount >= {LARGE} }};
"""


class Fault(Exception):
    """What a tool raises."""


def tools_of(engine: Engine, company: Company) -> dict[str, Callable[..., Any]]:
    """The governed tools, by name: what they do is as good as nothing, and fails now and then."""

    def work(result: Any = None) -> Any:
        if company.dying:
            company.dying = False
            engine.close()  # All that a killed process leaves is what it had written.
        if company.dice.random() < 0.02:
            raise Fault("the other side did not answer")
        return result

    @ans.tool("bank.transfer", resource="account/{account}", record={"memo": "mask"}, engine=engine)
    def transfer(account: str, amount: int, memo: str = "") -> str:
        return str(work(f"paid {amount}"))

    @ans.tool("bank.balance", resource="account/{account}", engine=engine)
    def balance(account: str) -> int:
        return int(work(10_000))

    @ans.tool("mail.search", engine=engine)
    def search(query: str) -> int:
        return int(work(3))

    @ans.tool("mail.send", resource="mailbox/{to}", record={"body": "digest"}, engine=engine)
    def send(to: str, subject: str, body: str) -> None:
        work()

    @ans.tool("crm.read", resource="customer/{customer}", engine=engine)
    def read(customer: int) -> dict[str, Any]:
        return dict(work({"customer": customer, "open": 2}))

    @ans.tool("crm.update", resource="customer/{customer}", engine=engine)
    def update(customer: int, note: str) -> None:
        company.call("crm.read", customer=customer)  # A call within a call.
        work()

    @ans.tool("code.run", resource="repository/{repository}", engine=engine)
    def run(repository: str, command: str) -> int:
        return int(work(0))

    @ans.tool("code.merge", resource="repository/{repository}/{branch}", engine=engine)
    def merge(repository: str, branch: str) -> None:
        work()

    @ans.tool("web.fetch", resource="url:https://{host}/{page}", engine=engine)
    def fetch(host: str, page: str) -> str:
        return str(work("<html>"))

    @ans.tool("hr.read", resource="person/{person}", record={"return": "digest"}, engine=engine)
    def person(person: int) -> str:
        return str(work("an interview"))

    made = (transfer, balance, search, send, read, update, run, merge, fetch, person)
    names = (
        "bank.transfer bank.balance mail.search mail.send crm.read crm.update code.run code.merge"
    )
    return dict(zip([*names.split(), "web.fetch", "hr.read"], made, strict=True))


def arguments_of(name: str, dice: random.Random) -> dict[str, Any]:
    """Arguments of a call: most of them within what grants allow."""
    vendor = f"vendor-{dice.randrange(60)}" if dice.random() < 0.985 else "private-1"
    customer, repository = dice.randrange(400), f"service-{dice.randrange(25)}"
    match name:
        case "bank.transfer":
            amount = dice.randrange(20, 4_000) if dice.random() < 0.98 else 9_000
            return {"account": vendor, "amount": amount, "memo": f"invoice {customer}"}
        case "bank.balance":
            return {"account": vendor}
        case "mail.search":
            return {"query": f"customer {customer}"}
        case "mail.send":
            to = f"customer-{customer}"
            return {"to": to, "subject": "Your request", "body": f"Dear customer {customer}, …"}
        case "crm.update":
            return {"customer": customer, "note": "called back"}
        case "code.run":
            return {"repository": repository, "command": "make test"}
        case "code.merge":
            return {"repository": repository, "branch": f"fix-{customer}"}
        case "web.fetch":
            return {"host": dice.choice(["docs.example.com", "news.example.org"]), "page": "index"}
        case "hr.read":
            return {"person": customer}
    return {"customer": customer}


def covers(pattern: str, tool: str) -> bool:
    """Whether a department's pattern means a tool."""
    return pattern == tool or (pattern.endswith("**") and tool.startswith(pattern[:-2]))
