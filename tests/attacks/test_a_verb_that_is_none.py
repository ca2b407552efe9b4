"""Something else than a verb is asked for by its name.

Class: the holder's socket
Refusal: InvalidInput, and nothing is done
Check: python/answerable/serving.py:_request: the name is one of VERBS
"""

from __future__ import annotations

from typing import Any

import pytest
import sockets
from attacking import World

import answerable as ans

REMOVED = [
    (
        "python/answerable/serving.py",
        "if «name not in VERBS if isinstance(name, str) else True»:",
        "False",
    )
]


NAMES: list[Any] = [
    "close",
    "acting",
    "check",
    "accept",
    "set_clock",
    "trail.export",
    "agents",
    "agents.__init__",
    "agents.issue.__call__",
    "__class__",
    "__reduce__",
    "humans.register.__self__",
    "halt.",
    ".halt",
    "Halt",
    "halt\0",
    "",
    None,
    5,
    ["halt"],
    {"halt": 1},
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_verb_that_is_none(world: World, name: Any) -> None:
    before = len(world.engine.trail)
    told = sockets.verb(world.path, {"verb": name, "arguments": {"reason": "x"}})
    assert told["error"] == "InvalidInput"
    assert len(world.engine.trail) == before


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"verb": "halt"}',
        b'{"verb": "halt", "arguments": []}',
        b'{"verb": "halt", "arguments": "reason"}',
        b'{"verb": "halt", "arguments": {"reason": {"$moment": 5}}}',
        b'{"verb": "halt", "arguments": {"reason": {"$unknown": 5}}}',
        b'{"verb": "halt", "arguments": {"reason": {"a": 1, "b": 2}}}',
        b'{"verb": "halt", "arguments": {"reason": {"$seconds": 1e400}}}',
        b'{"verb": "halt", "arguments": {"reason": 5}}',
        b'{"verb": "halt", "arguments": {"reason": "x", "self": 1}}',
        b'{"verb": "halt", "arguments": {"reason": "\\ud800"}}',
        b'{"verb": "grant", "arguments": {"scope": {"$scope": "[{}]"}}}',
        b'{"verb": ' + b"[" * 500_000,
        b'{"verb": "halt", "arguments": {"reason": ' + b"[" * 90_000 + b"]" * 90_000 + b"}}",
    ],
)
def test_a_request_that_means_nothing(world: World, request_: bytes) -> None:
    before = len(world.engine.trail)
    answered = sockets.ask(world.path, sockets.VERB, request_)
    assert answered is not None
    assert answered[:1] == b"\1" or b'"error": "InvalidInput"' in answered
    assert len(world.engine.trail) == before
    assert world.engine.halts() == []
    world.allows(world.held)


def test_an_attached_engine_sends_nothing_else(world: World) -> None:
    with pytest.raises(ans.InvalidInput):
        ans._core.ask(world.engine, '{"verb": "close", "arguments": {}}')
