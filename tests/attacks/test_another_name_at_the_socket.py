"""A change is asked for through the socket in the name of somebody else.

Class: the holder's socket
Refusal: InvalidInput by_is_fixed
Check: python/answerable/serving.py:_request: `by` is never taken from a request
"""

from __future__ import annotations

import sockets
from attacking import World

REMOVED = [("python/answerable/serving.py", '"by" in arguments', "False")]


def test_another_name_at_the_socket(world: World) -> None:
    before = len(world.engine.trail)
    for by in (world.alice.id, "alice@example.com", None, "", {"$id": ["Human", world.alice.id]}):
        told = sockets.verb(world.path, {"verb": "halt", "arguments": {"reason": "x", "by": by}})
        assert (told["error"], told["code"]) == ("InvalidInput", "by_is_fixed")
    assert len(world.engine.trail) == before
    told = sockets.verb(world.path, {"verb": "halt", "arguments": {"reason": "x"}})
    entry = world.engine.trail.get(told["done"])
    (account,) = [human.id for human in world.engine.humans.list() if human.issuer == "os"]
    assert entry.leaf["by"] == account != world.alice.id
