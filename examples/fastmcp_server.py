"""A FastMCP server judges each call by the chain that comes along, and the trail can answer for it.

    pip install 'answerable[fastmcp]' && python examples/fastmcp_server.py

Client and server are in one process here, so that nothing needs a network. Over HTTP the caller is
whoever the access token names: `govern(server, engine, authority=grant_of)`.
"""

import asyncio
import tempfile

from fastmcp import Client, FastMCP

import answerable as ans
from answerable.integrations.fastmcp import govern, outgoing

server = FastMCP("rooms")


@server.tool
def book_room(city: str, euros: int) -> str:
    """Book a meeting room."""
    return f"booked a room in {city} for {euros} euros"


@server.tool
def cancel_room(city: str) -> str:
    """Cancel a booking."""
    return f"cancelled in {city}"


async def main(engine: ans.Engine, grant: ans.Grant) -> None:
    chain = outgoing(grant)  # What a client sends along: the planner's chain.
    async with Client(server) as client:
        with engine.acting(grant):
            async with Client(server) as planners:
                print("offered:", [tool.name for tool in await planners.list_tools()])
        for euros, meta in ((280, chain), (900, chain), (1, None)):
            order = {"city": "Lisbon", "euros": euros}
            booked = await client.call_tool("book_room", order, meta=meta, raise_on_error=False)
            print(booked.content[0].text)
    for entry in engine.trail.entries(tool="room.book"):
        print(engine.trail.story(entry))


with ans.open(tempfile.mkdtemp() + "/governance") as engine:
    alice = engine.humans.register("alice@example.com", name="Alice")
    rooms = [ans.allow("room.*")]
    planner = engine.agents.issue("planner", owner=alice, purpose="books", ceiling=rooms, ttl="8h")
    cheap = {"euros": ans.at_most(300), "city": ans.any_()}
    room = ans.allow("room.book", resource="city/*", where=cheap)
    grant = engine.grant(alice, planner, task="The offsite", ttl="1h", scope=room)
    names, resources = {"book_room": "room.book"}, {"book_room": "city/{city}"}
    govern(server, engine, local=True, names=names, resources=resources)
    asyncio.run(main(engine, grant))
