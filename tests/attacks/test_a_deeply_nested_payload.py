"""A signed payload nests without end.

Class: depth and size bombs
Refusal: InvalidGrant malformed
Check: src/grant.rs:parse_payload: strict and bounded JSON
"""

from __future__ import annotations

from attacking import World, sign

REMOVED = [
    (
        "src/grant.rs",
        'there is no format {v}")));\n    }\n    «serde_json::from_str(text).map_err(malformed)»',
        "serde_json::from_str::<serde_json::Value>(text).map_err(malformed).and_then(|value| "
        "serde_json::from_value(value).map_err(malformed))",
    )
]
LEFT = "held"


def test_a_deeply_nested_payload(world: World) -> None:
    *above, _ = world.own().token.split("~")
    for text in ("[" * 5_000 + "]" * 5_000, '{"v":' * 5_000 + "1" + "}" * 5_000):
        bomb = sign(world.mallory_key, text[:11_000], world.assertion())
        world.refuses("~".join([*above, bomb]), "malformed")
