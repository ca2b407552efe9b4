"""A LangChain agent and its helper act for Alice, and the trail can answer for both.

    pip install 'answerable[langchain]' && python examples/langchain_agent.py

Only the model is scripted, so that nothing here needs a network.
"""

import tempfile

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, ToolMessage

import answerable as ans
from answerable.integrations.langchain import AnswerableMiddleware, subagent

ORDER = {"type": "tool_call", "name": "book_room"}


class Model(FakeMessagesListChatModel):
    def bind_tools(self, tools, **kwargs):
        return self


def says(*turns):
    """A model that makes these calls, one a turn, and then says that it is done."""
    calls = [AIMessage("", tool_calls=[{**turn, "id": str(i)}]) for i, turn in enumerate(turns)]
    return Model(responses=[*calls, AIMessage("done")])


def book_room(city: str, euros: int) -> str:
    """Book a meeting room."""
    return f"booked a room in {city} for {euros} euros"


with ans.open(tempfile.mkdtemp() + "/governance") as engine:
    alice = engine.humans.register("alice@example.com", name="Alice")
    room = ans.allow(
        "room.book", resource="city/*", where={"euros": ans.at_most(300), "city": ans.any_()}
    )
    for name in ("planner", "booker"):
        ceiling = [ans.allow("room.*"), ans.allow("ask_booker")]
        engine.agents.issue(name, owner=alice, purpose="books", ceiling=ceiling, ttl="8h")
    scope = [room, ans.allow("ask_booker")]
    grant = engine.grant(alice, "planner", task="The offsite", ttl="1h", scope=scope, max_depth=1)

    rules = {"names": {"book_room": "room.book"}, "resources": {"book_room": "city/{city}"}}
    offer, dear = ({**ORDER, "args": {"city": "Lisbon", "euros": n}} for n in (280, 900))
    booker = create_agent(says(dear, offer), [book_room])
    ask = subagent(booker, "booker", name="ask_booker", description="Book.", **rules)
    model = says({"type": "tool_call", "name": "ask_booker", "args": {"request": "a room"}}, dear)
    guard = AnswerableMiddleware(engine, **rules)
    planner = create_agent(model, [ask, book_room], middleware=[guard])
    state = planner.invoke({"messages": ["Book the offsite"]}, context={"answerable": grant})

    for message in (m for m in state["messages"] if isinstance(m, ToolMessage)):
        print(f"{message.name}: {message.content}")
    for entry in engine.trail.entries(tool="room.book"):
        print(engine.trail.story(entry))
