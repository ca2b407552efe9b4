"""An agent of the OpenAI Agents SDK hands over to another; the trail can answer for both.

    pip install 'answerable[openai-agents]' && python examples/openai_agent.py

Only the model is scripted, so that nothing here needs a network.
"""

import json
import tempfile

from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call

import answerable as ans
from answerable.integrations.openai_agents import govern_agent

set_tracing_disabled(True)


def says(*turns):
    """A model that makes these calls, one a turn, and then says that it is done."""
    calls = [
        [function_call(name, json.dumps(arguments), call_id=f"{name}-{n}")]
        for n, (name, arguments) in enumerate(turns)
    ]
    return ScriptedModel([*calls, [assistant_message("done")]])


@function_tool
def book_room(city: str, euros: int) -> str:
    """Book a meeting room."""
    return f"booked a room in {city} for {euros} euros"


with ans.open(tempfile.mkdtemp() + "/governance") as engine:
    alice = engine.humans.register("alice@example.com", name="Alice")
    rooms = [ans.allow("room.*")]
    for name in ("planner", "booker"):
        engine.agents.issue(name, owner=alice, purpose="books", ceiling=rooms, ttl="8h")
    cheap = {"euros": ans.at_most(300), "city": ans.any_()}
    room = ans.allow("room.book", resource="city/*", where=cheap)
    grant = engine.grant(alice, "planner", task="The offsite", ttl="1h", scope=room, max_depth=1)

    orders = [("book_room", {"city": "Lisbon", "euros": euros}) for euros in (900, 280)]
    booker = Agent(name="booker", tools=[book_room], model=says(*orders))
    planner = Agent(name="planner", handoffs=[booker], model=says(("transfer_to_booker", {})))
    rules = {"names": {"book_room": "room.book"}, "resources": {"book_room": "city/{city}"}}
    govern_agent(planner, engine, agents={"booker": "booker"}, **rules)
    with engine.acting(grant):
        result = Runner.run_sync(planner, "Book the offsite")

    for item in result.new_items:
        if item.type == "tool_call_output_item":
            print(item.output)
    for entry in engine.trail.entries(tool="room.book"):
        print(engine.trail.story(entry))
