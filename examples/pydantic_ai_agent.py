"""A PydanticAI agent runs another inside a tool; the trail can answer for both.

    pip install 'answerable[pydantic-ai]' && python examples/pydantic_ai_agent.py

Only the model is scripted, so that nothing here needs a network.
"""

import tempfile

from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

import answerable as ans
from answerable.integrations.pydantic_ai import Answerable


def says(*turns):
    """A model that makes these calls, one a turn, and then says that it is done."""

    def answer(messages, info):
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        part = ToolCallPart(*turns[turn]) if turn < len(turns) else TextPart("done")
        return ModelResponse(parts=[part])

    return FunctionModel(answer)


def book_room(city: str, euros: int) -> str:
    """Book a meeting room."""
    return f"booked a room in {city} for {euros} euros"


async def ask_booker(request: str) -> str:
    """Have a room booked."""
    return (await booker.run(request)).output


with ans.open(tempfile.mkdtemp() + "/governance") as engine:
    alice = engine.humans.register("alice@example.com", name="Alice")
    for name in ("planner", "booker"):
        ceiling = [ans.allow("room.*"), ans.allow("ask_booker")]
        engine.agents.issue(name, owner=alice, purpose="books", ceiling=ceiling, ttl="8h")
    cheap = {"euros": ans.at_most(300), "city": ans.any_()}
    scope = [ans.allow("room.book", resource="city/*", where=cheap), ans.allow("ask_booker")]
    grant = engine.grant(alice, "planner", task="The offsite", ttl="1h", scope=scope, max_depth=1)

    rules = {"names": {"book_room": "room.book"}, "resources": {"book_room": "city/{city}"}}
    orders = [("book_room", {"city": "Lisbon", "euros": euros}) for euros in (900, 280)]
    own = Answerable(engine, agent="booker", **rules)
    booker = Agent(says(*orders), tools=[book_room], capabilities=[own])
    model = says(("ask_booker", {"request": "a room in Lisbon"}))
    planner = Agent(model, tools=[ask_booker], capabilities=[Answerable(engine)])
    with engine.acting(grant):
        print("answer:", planner.run_sync("Book the offsite").output)
    for entry in engine.trail.entries(tool="room.book"):
        print(engine.trail.story(entry))
