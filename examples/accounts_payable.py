"""Alice lets an agent pay this week's invoices, and can answer for every cent afterwards.

    python examples/accounts_payable.py

`planner` reads a folder of invoices and pays those under 500 euros. For a vendor with several
invoices it delegates to `payer`, which may pay that one account and nobody else. One invoice tells
whoever reads it to send the money elsewhere, and the model obeys: the call is refused, the model is
told, and the run goes on. In the end an outsider checks the record.

The agent loop is LangChain's own; only the model is scripted (accounts_payable/model.py), so that
nothing here needs a network.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, tool

import answerable as ans
from answerable.integrations.langchain import AnswerableMiddleware

HERE = Path(__file__).resolve().parent / "accounts_payable"
sys.path.insert(0, str(HERE))
from bank import COMPANY, STRANGER, VENDORS, Bank  # noqa: E402
from model import InvoiceModel  # noqa: E402

INVOICES = HERE / "invoices"
LIMIT = 500_00  # cents: an int is exact, has one canonical form, and is what the bank books


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir="."))
    title(f"Accounts payable, in {folder}")
    bank = Bank(folder / "bank.sqlite")
    with ans.open(folder / "governance") as engine:
        alice = engine.humans.register("alice@example.com", name="Alice")
        planner = engine.agents.issue(
            "planner",
            owner=alice,
            purpose="pays the invoices of the week",
            ceiling=[ans.allow("invoice.*"), ans.allow("pay.*")],
            ttl="8h",
        )
        payer = engine.agents.issue(
            "payer",
            owner=alice,
            purpose="pays the invoices of one vendor",
            ceiling=[ans.allow("invoice.read"), ans.allow("pay.transfer")],
            ttl="8h",
        )
        grant = engine.grant(
            alice,
            planner,
            task="Pay this week's invoices under 500 euros",
            ttl="30m",
            max_depth=1,
            scope=[
                ans.allow("invoice.*", resource=["invoice", "invoice/**"]),
                ans.allow("pay.vendor", resource="account/*"),
                ans.allow(
                    "pay.transfer",
                    resource="account/*",
                    where={
                        "iban": ans.one_of(*VENDORS.values()),
                        "cents": ans.between(1, LIMIT),
                        "reference": ans.any_(),
                    },
                    limits=[ans.calls(20), ans.total("cents", 2_000_00)],
                ),
            ],
        )
        with engine.acting(grant):
            run(agent(tools(engine, bank, payer)), "Pay this week's invoices.")
        ok = review(engine, bank)
        authority, checkpoint = engine.authority, engine.trail.checkpoint()
        engine.trail.export(folder / "trail.jsonl")
    return 0 if ok & outsider(folder / "trail.jsonl", authority, checkpoint) else 1


def agent(its_tools: list[BaseTool]) -> Any:
    """LangChain's agent loop with the guard between the model and the tools."""
    guard = AnswerableMiddleware(  # these two have no guard of their own
        names={"list_invoices": "invoice.list", "read_invoice": "invoice.read"},
        resources={"list_invoices": "invoice", "read_invoice": "invoice/{file}"},
    )
    return create_agent(InvoiceModel(), its_tools, middleware=[guard])


def tools(engine: ans.Engine, bank: Bank, payer: ans.Agent) -> list[BaseTool]:
    @tool
    def list_invoices() -> str:
        """List the invoices that arrived this week."""
        return json.dumps(sorted(path.name for path in INVOICES.glob("*.txt")))

    @tool
    def read_invoice(file: str) -> str:
        """Read the text of an invoice."""
        return (INVOICES / file).read_text(encoding="utf-8")

    @tool
    @ans.tool("pay.transfer", resource="account/{iban}", dangerous=True)
    def transfer(iban: str, cents: int, reference: str) -> str:
        """Transfer money from the company's account."""
        return f"transfer {bank.transfer(iban, cents, reference)} booked"

    @tool
    @ans.tool("pay.vendor", resource="account/{iban}")
    def pay_vendor(iban: str, files: list[str]) -> str:
        """Have all invoices of one vendor paid, into one account."""
        scope = [ans.allow("invoice.read", resource=f"invoice/{file}") for file in files]
        scope += [
            ans.allow(
                "pay.transfer",
                resource=f"account/{iban}",
                where={
                    "iban": ans.equals(iban),
                    "cents": ans.between(1, LIMIT),
                    "reference": ans.any_(),
                },
            )
        ]
        with engine.delegating(payer, scope=scope, task=f"Pay {len(files)} invoices of one vendor"):
            return run(agent([read_invoice, transfer]), f"Pay {' '.join(files)}", depth=1)

    return [list_invoices, read_invoice, transfer, pay_vendor]


def run(worker: Any, prompt: str, depth: int = 0) -> str:
    """Runs an agent to its end, shows each tool result, and returns its last words."""
    answer = ""
    messages = {"messages": [("user", prompt)]}
    for update in worker.stream(messages, stream_mode="updates"):
        for step in update.values():
            for message in step["messages"]:
                answer = str(message.content)
                if isinstance(message, ToolMessage) and message.name != "read_invoice":
                    show(message, depth)
    show(answer, depth)
    return answer


def review(engine: ans.Engine, bank: Bank) -> bool:
    """What happened, from the bank and from the trail; both must agree."""
    transfers = engine.trail.entries(tool="pay.transfer")
    paid = engine.trail.entries(tool="pay.transfer", effect="allow")
    by_payer = engine.trail.entries(tool="pay.transfer", effect="allow", agent="payer")
    refused = engine.trail.entries(tool="pay.transfer", effect="deny", agent="payer")

    title("Bank and trail")
    booked = bank.transfers()
    references = [reference for _, _, reference in booked]
    moved = 10_000_00 - bank.balance(COMPANY)
    ok = all(
        [
            expect(
                len(booked) == 6 == len(paid), "6 invoices paid, each with an entry that allows it"
            ),
            expect(len(transfers) == 8, "8 payments tried: 2 were refused before any money moved"),
            expect(len(set(references)) == len(booked), "no invoice was paid twice"),
            expect(all(cents <= LIMIT for _, cents, _ in booked), "none is over 500 euros"),
            expect(
                moved == sum(cents for _, cents, _ in booked), f"{euros(moved)} left the account"
            ),
            expect(bool(by_payer and refused), "payer paid one invoice and was refused another"),
            expect(bank.balance(STRANGER) == 0, "the stranger's account is empty"),
        ]
    )
    if by_payer and refused:
        title("One payment")
        print(engine.trail.story(by_payer[0]))
        title("The payment that an invoice asked for and Alice did not")
        print(engine.trail.story(refused[0]))
    return ok


def outsider(export: Path, authority: str, checkpoint: Any) -> bool:
    """Checks the export with nothing but the public key and a checkpoint, then edits one byte."""
    title("An outsider verifies the export")
    report = ans.verify(export, authority=authority, since=checkpoint)
    intact = expect(True, f"the trail is whole: {report}")

    forged = export.with_name("forged.jsonl")
    honest = export.read_bytes()
    at = honest.index(b"31240") + 4  # the 312.40 euros of one payment become 312.49
    forged.write_bytes(honest[:at] + b"9" + honest[at + 1 :])
    try:
        ans.verify(forged, authority=authority, since=checkpoint)
    except ans.TrailCorrupted as corrupted:
        found = expect(bool(corrupted.faults), "one edited byte was found:")
        for fault in corrupted.faults:
            print(f"      {fault}")
        return intact and found
    return expect(False, "one edited byte was found")


def show(message: ToolMessage | str, depth: int) -> None:
    indent = "  " + "    " * depth
    if isinstance(message, str):
        print(indent + message.replace("\n", f"\n{indent}"))
    elif message.status == "error":
        print(f"{indent}{paint('31', 'refused')} {message.name}: {message.content}")
    elif message.name != "pay_vendor":
        print(f"{indent}{paint('32', 'done')} {message.name}: {str(message.content)[:60]}")


def expect(condition: bool, sentence: str) -> bool:
    print(f"  {paint('32', 'yes') if condition else paint('31', 'NO ')} {sentence}")
    return condition


def title(text: str) -> None:
    print(f"\n{paint('1', text)}", flush=True)


def euros(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02} euros"


def paint(colour: str, text: str) -> str:
    plain = os.environ.get("NO_COLOR") or not sys.stdout.isatty()
    return text if plain else f"\x1b[{colour}m{text}\x1b[0m"


if __name__ == "__main__":
    sys.exit(main())
