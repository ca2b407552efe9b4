"""A chain has more hops than are looked at.

Class: depth and size bombs
Refusal: InvalidGrant too_large
Check: src/chain.rs:parse: the budget of hops
"""

from __future__ import annotations

import hashlib
from typing import Any

from attacking import World, base64url, pae, unbase64

REMOVED = [("src/chain.rs", "enumerate() {\n            if «hop >= max_hops» {", "false")]


def test_a_chain_of_many_hops(world: World) -> None:
    grant = world.grant(max_depth=20)
    for hop in range(7):
        key = world.mallory_key if hop else world.planner_key
        grant = grant.delegate(
            world.mallory, scope=world.narrow(), ttl="10m", max_depth=19 - hop, key=key
        )
    world.engine.accept(grant.token)
    *_, last = grant.token.split("~")
    payload = unbase64(last.removeprefix("v4.public."))[:-64]
    digest = hashlib.sha256(pae(b"v4.public.", payload, b"", world.assertion().encode())).digest()

    def below(payload: dict[str, Any]) -> None:
        payload.update(parent=base64url(digest), depth=8)

    # Sound but for its length: `resigned` puts the hop in the place of the last.
    *_, ninth = world.resigned(grant, below, world.mallory_key).split("~")
    world.refuses(f"{grant.token}~{ninth}", "too_large")
    world.refuses("~".join(["v4.public.AAAA"] * 9), "too_large")
    world.refuses("~".join(["v4.public.AAAA"] * 100_000), "too_large")
