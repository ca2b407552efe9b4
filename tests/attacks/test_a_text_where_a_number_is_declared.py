"""An argument is given as another kind than its tool declares, so that a forbid compares in vain.

Class: fail-open
Refusal: policy_error
Check: src/policy/read.rs:fits: each argument against its declared type, before it is read
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from attacking import World
from policing import ALL, Policed

import answerable as ans

REMOVED = [
    ("src/policy/read.rs", "if «is_of_kind» { Ok(()) }", "true"),
    ("src/policy/read.rs", "if «required == 0» { Ok(()) }", "true"),
]


class Line(TypedDict):
    account: str
    cents: int


def test_a_text_where_a_number_is_declared(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    key = "11111111-2222-3333-4444-55555555aaaa"
    # The type, what is forbidden, what is given in its place.
    tries: list[tuple[Any, str, list[Any]]] = [
        (int, "context.arguments.it == 13", ["13", 13.0, True]),
        (float, 'context.arguments.it == decimal("13.0")', ["13", True]),
        (bool, "context.arguments.it", [1, "True"]),
        (Literal["eur"], 'context.arguments.it == "eur"', ["EUR", b"eur"]),
        (uuid.UUID, f'context.arguments.it == "{key}"', [key.upper(), key.replace("-", "")]),
        (list[int], "context.arguments.it.contains(13)", [["13"], [1, 13.0], "13"]),
        (list[str], 'context.arguments.it.containsAny(["a", "b"])', [[b"a"], [["a"]]]),
        (Line, "context.arguments.it.cents == 13", [{"account": "a", "cents": "13"}]),
        (Line, 'context.arguments.it == {"account": "a", "cents": 13}', [
            {"account": "a", "cents": 13, "more": 1}, {"account": "a"},
        ]),
    ]  # fmt: skip
    ran: list[Any] = []
    tools, text = [], ALL
    for number, (kind, forbidden, _) in enumerate(tries):

        def take(it: Any) -> None:
            ran.append(it)

        take.__annotations__["it"] = kind
        tools.append(ans.tool(f"pay.take{number}", engine=world.engine)(take))
        text += (
            f'\n@id("f{number}") forbid (principal, action == Action::"pay.take{number}", resource)'
            f" when {{ {forbidden} }};"
        )
    policed.load(text)
    for tool, (kind, _, given) in zip(tools, tries, strict=True):
        for it in given:
            with world.engine.acting(policed.grant), pytest.raises(ans.AccessDenied) as denied:
                tool(it)
            assert denied.value.code == "policy_error", (kind, it, denied.value)
            assert "the argument `it`" in str(denied.value), denied.value
    assert not ran
