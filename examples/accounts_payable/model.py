"""A chat model without a network: it reads tool results and decides the next step from them.

It stands where a real model would. Like one, it knows nothing that is not in its messages, reads
messy text as well as it can, and believes what an invoice tells it.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

# What a scanner makes of digits: O for 0, l for 1.
MISREAD = str.maketrans("OoIl", "0011")
NUMBER = re.compile(
    r"(?:rechnung nr\.|rechnungsnummer|invoice n(?:umber|o)|facture n°|credit note number"
    r"|beleg nr\.)[\s:.]*([\w/-]+)",
    re.I,
)
TOTAL = re.compile(
    r"(?:rechnungsbetrag|gesa(?:m|rn)tbetrag|total due|total ttc|zu zahlen)[\s:.]*"
    r"(eur|chf|€)?\s*(-?[\dOoIl][\dOoIl.,' ]*[\dOoIl])\s*(eur|chf|€)?",
    re.I,
)
IBAN = re.compile(r"IBAN[\s:]*([A-Z]{2}[ \dA-Zl]{13,38}[\dA-Zl])")


@dataclass(frozen=True)
class Invoice:
    """What was understood of one text; None for what was not."""

    file: str
    number: str | None
    cents: int | None
    currency: str
    iban: str | None
    credit: bool

    @classmethod
    def parse(cls, file: str, text: str) -> "Invoice":
        """Reads one invoice. The last IBAN wins, which is how an injected one is believed."""
        number, total = NUMBER.search(text), TOTAL.search(text)
        ibans = [iban.replace(" ", "") for iban in IBAN.findall(text)]
        currency = (total[1] or total[3] or "EUR").upper().replace("€", "EUR") if total else "EUR"
        return cls(
            file=file,
            number=number[1].translate(MISREAD) if number else None,
            cents=_cents(total[2]) if total else None,
            currency=currency,
            iban=ibans[-1][:2] + ibans[-1][2:].translate(MISREAD) if ibans else None,
            credit="credit note" in text.lower(),
        )

    def obstacle(self, seen: set[str | None]) -> str | None:
        """Why it should not be paid, or None."""
        if self.credit:
            return "a credit note"
        if self.number is None or self.cents is None or self.iban is None:
            return "a field is missing"
        if self.number in seen:
            return f"a duplicate of {self.number}"
        if self.currency != "EUR":
            return f"in {self.currency}"
        return None


class InvoiceModel(BaseChatModel):
    """Lists, reads, then pays; hands a vendor with several invoices to `pay_vendor`, if it can."""

    tools: frozenset[str] = frozenset()

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "InvoiceModel":
        """Remembers which tools it was given."""
        return self.model_copy(update={"tools": frozenset(tool.name for tool in tools)})

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        answer = self._next(messages)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        calls = {
            call["id"]: call
            for message in messages
            if isinstance(message, AIMessage)
            for call in message.tool_calls
        }
        results = [(calls[m.tool_call_id], m) for m in messages if isinstance(m, ToolMessage)]
        done = {call["name"] for call, _ in results}
        task = next(str(m.content) for m in messages if isinstance(m, HumanMessage))
        if "list_invoices" in self.tools and "list_invoices" not in done:
            return _call(("list_invoices", {}))
        if "read_invoice" not in done:
            files = re.findall(r"[\w-]+\.txt", task)
            for call, result in results:
                if call["name"] == "list_invoices":
                    files += json.loads(str(result.content))
            return _call(*(("read_invoice", {"file": file}) for file in files))
        payable, aside = _sort(
            [
                Invoice.parse(call["args"]["file"], str(result.content))
                for call, result in results
                if call["name"] == "read_invoice" and result.status == "success"
            ]
        )
        if not done & {"transfer", "pay_vendor"} and payable:
            return _call(*self._payments(payable))
        return AIMessage(_summary(results, aside))

    def _payments(self, payable: list[Invoice]) -> list[tuple[str, dict[str, Any]]]:
        """One call an invoice, or one a vendor; a vendor is the first word of the file's name."""
        vendors: dict[str, list[Invoice]] = defaultdict(list)
        for invoice in payable:
            vendors[invoice.file.split("-")[1]].append(invoice)
        steps: list[tuple[str, dict[str, Any]]] = []
        for invoices in vendors.values():
            if len(invoices) > 1 and "pay_vendor" in self.tools:
                files = [invoice.file for invoice in invoices]
                steps.append(("pay_vendor", {"iban": invoices[0].iban, "files": files}))
                continue
            for i in invoices:
                arguments = {"iban": i.iban, "cents": i.cents, "reference": i.number}
                steps.append(("transfer", arguments))
        return steps


def _cents(text: str) -> int:
    """Reads `1.240,00`, `1'380.50` or `4l2,5O`: the last two digits are cents."""
    digits = re.sub(r"[^\d-]", "", text.translate(MISREAD))
    return int(digits)


def _sort(invoices: list[Invoice]) -> tuple[list[Invoice], list[str]]:
    payable, aside, seen = [], [], set[str | None]()
    for invoice in invoices:
        obstacle = invoice.obstacle(seen)
        if obstacle:
            aside.append(f"{invoice.file}: {obstacle}")
        else:
            payable.append(invoice)
        seen.add(invoice.number)
    return payable, aside


def _call(*steps: tuple[str, dict[str, Any]]) -> AIMessage:
    calls = [ToolCall(name=n, args=a, id=f"{n}-{i}") for i, (n, a) in enumerate(steps, 1)]
    return AIMessage("", tool_calls=calls)


def _summary(results: list[tuple[ToolCall, ToolMessage]], aside: list[str]) -> str:
    paid = [m for call, m in results if call["name"] == "transfer" and m.status == "success"]
    refused = [call for call, m in results if m.status == "error"]
    lines = [f"Paid {len(paid)}, refused {len(refused)}, set aside {len(aside)}."]
    return "\n".join(lines + [f"Set aside {reason}" for reason in aside])
