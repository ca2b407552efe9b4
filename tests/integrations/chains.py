"""What the tests of LangChain share: a scripted model, and a world with two agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, tool

import answerable as ans
from answerable.integrations.langchain import AnswerableMiddleware

Step = tuple[str, dict[str, Any]]


class Script(BaseChatModel):
    """Makes the calls it was given, one list a turn, then says what it was told."""

    turns: list[list[Step]]

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Script:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        turn = sum(isinstance(message, AIMessage) for message in messages)
        if turn < len(self.turns):
            calls = [
                ToolCall(name=name, args=arguments, id=f"{turn}-{i}")
                for i, (name, arguments) in enumerate(self.turns[turn])
            ]
            answer = AIMessage("", tool_calls=calls)
        else:
            told = [str(m.content) for m in messages if isinstance(m, ToolMessage)]
            answer = AIMessage(" | ".join(told))
        return ChatResult(generations=[ChatGeneration(message=answer)])


class World:
    """One engine, one human, two agents, and a list of what really ran."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "governance"
        self.engine = ans.open(self.path)
        self.alice = self.engine.humans.register("alice@example.com", name="Alice")
        self.bob = self.engine.humans.register("bob@example.com", name="Bob")
        ceiling = [ans.allow("pay.*"), ans.allow("files.*"), ans.allow("ask_payer")]
        self.planner, self.payer = (
            self.engine.agents.issue(
                name, owner=self.alice, purpose="pays", ceiling=ceiling, ttl="1h"
            )
            for name in ("planner", "payer")
        )
        self.boss = self.engine.agents.issue(
            "boss", owner=self.alice, purpose="has it paid", ceiling=[ans.allow("**")], ttl="1h"
        )
        self.ran: list[Any] = []

    def grant(self, *scope: Any, max_depth: int = 0) -> Any:
        capped = ans.allow(
            "pay.transfer",
            resource="account/*",
            where={"account": ans.any_(), "amount": ans.at_most(500)},
        )
        return self.engine.grant(
            self.alice,
            self.planner,
            task="Pay the week",
            ttl="10m",
            max_depth=max_depth,
            scope=[*(scope or [capped])],
        )

    def agent(
        self, its_tools: list[Any], *turns: list[Step], saver: Any = None, **options: Any
    ) -> Any:
        middleware = AnswerableMiddleware(**MAPPING, **options)
        script = Script(turns=list(turns))
        return create_agent(script, its_tools, middleware=[middleware], checkpointer=saver)

    def effects(self, **filters: Any) -> list[str]:
        entries = self.engine.trail.entries(kind="decision", **filters)
        return [entry.effect for entry in entries]


def decorated(world: World) -> BaseTool:
    @tool
    @ans.tool("pay.transfer", resource="account/{account}")
    def transfer(account: str, amount: int) -> str:
        """Transfer money."""
        world.ran.append((account, amount))
        return f"paid {amount}"

    return transfer


def undecorated(world: World) -> BaseTool:
    @tool
    def transfer(account: str, amount: int) -> str:
        """Transfer money."""
        world.ran.append((account, amount))
        return f"paid {amount}"

    return transfer


MAPPING: dict[str, Any] = {
    "names": {"transfer": "pay.transfer"},
    "resources": {"transfer": "account/{account}"},
}


def pay(amount: Any, account: str = "a-1") -> Step:
    return "transfer", {"account": account, "amount": amount}
