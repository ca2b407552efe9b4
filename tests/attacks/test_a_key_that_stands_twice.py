"""A payload holds a key twice, once for each reader.

Class: depth and size bombs
Refusal: InvalidGrant malformed
Check: src/grant.rs:parse_payload: repeated and unknown keys
"""

from __future__ import annotations

import json

from attacking import World, claims, sign

REMOVED = [
    (
        "src/grant.rs",
        'there is no format {v}")));\n    }\n    «serde_json::from_str(text).map_err(malformed)»',
        "serde_json::from_str::<serde_json::Value>(text).map_err(malformed).and_then(|value| "
        "serde_json::from_value(value).map_err(malformed))",
    ),
    ("src/grant.rs", "child.depth != expected", "false"),
    (
        "src/engine/verbs/grants.rs",
        "match «self.known_by_id(&id)?» {\n                    Some(known) if known.digest",
        "self.known_by_id(&id)?.filter(|known| known.digest == grant.digest)",
    ),
]


def test_a_key_that_stands_twice(world: World) -> None:
    *above, leaf = world.own().token.split("~")
    text = json.dumps(claims(leaf), separators=(",", ":"))
    for more in (',"depth":0}', ',"admin":true}', ',"parent":null}'):
        twice = sign(world.mallory_key, text[:-1] + more, world.assertion())
        world.refuses("~".join([*above, twice]), "malformed")
