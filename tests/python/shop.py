"""A store that hostile people worked on, for the tests of the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import answerable as ans
from answerable.guard import governed

ESCAPE = "\x1b[2J\x1b]0;owned\x07"
BIDI = "\u202egnp.exe\u2066"
HOSTILE_NAME = f"Mal{BIDI}\u200bory"
HOSTILE_SENTENCE = f"Book it\nallow  forged line\tand {BIDI}"
LONG = "A" * 900_000
# Everything a terminal or a reader could act on or be fooled by, but the line ends we print.
ACTIVE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@dataclass
class Shop:
    """A store that hostile people worked on, closed so that commands can open it."""

    path: Path
    allowed: str
    refused: str
    nameless: str
    raised: str
    grant: str
    child: str
    token: str
    task: str
    approval: str
    rule: str
    proof: str


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Done]


def make(path: Path) -> Shop:
    """Works on a new store as hostile people would, and closes it."""
    with ans.open(path) as engine:
        alice = engine.humans.register("alice@example.com", name=HOSTILE_NAME)
        anything = ans.allow("**")
        planner = engine.agents.issue(
            f"plan{BIDI}ner", owner=alice, purpose=HOSTILE_SENTENCE, ceiling=anything, ttl="8h"
        )
        booker = engine.agents.issue(
            "booker", owner=alice, purpose="books", ceiling=anything, ttl="8h"
        )
        scope = [
            ans.allow("pay.*", where={"amount": ans.at_most(500), "memo": ans.any_()}),
            ans.allow("read.**"),
        ]
        grant = engine.grant(
            alice, planner, task=HOSTILE_SENTENCE, ttl="1h", max_depth=2, scope=scope
        )
        entries = {}
        with engine.acting(grant) as held:
            child = held.delegate(booker, scope=scope[1:], task=f"read{BIDI}")
            with governed("pay.transfer", {"amount": 80, "memo": ESCAPE}, engine=engine) as call:
                call.result = ESCAPE
            entries["allowed"] = call.entry
            with pytest.raises(ans.AccessDenied) as denied:  # noqa: SIM117
                with governed("pay.transfer", {"amount": 900, "memo": LONG}, engine=engine):
                    pytest.fail("the body ran")
            entries["refused"] = denied.value.decision.entry
            with pytest.raises(ans.AccessDenied) as denied:  # noqa: SIM117
                with governed(f"{ESCAPE}{BIDI}{LONG}", {ESCAPE: BIDI}, engine=engine):
                    pytest.fail("the body ran")
            entries["nameless"] = denied.value.decision.entry
            call = governed("read.file", {ESCAPE: BIDI}, engine=engine)
            with pytest.raises(RuntimeError), call:
                raise RuntimeError(ESCAPE + BIDI)
            entries["raised"] = call.entry
        asked = engine.request_access(
            grant, scope=ans.allow("mail.send"), reason=HOSTILE_SENTENCE, ttl="1h"
        )
        engine.vault.put("bank-api", "a secret of the shop", for_tools="pay.*", by=alice)
        rule = engine.rules.add(
            then="https://example.com/hook", on="ownerless", reason=HOSTILE_SENTENCE
        )
        engine.humans.register("bob@example.com")
        # Something to resume, to unhalt, and a departure with its proof.
        engine.agents.issue(
            "idle", owner=alice, purpose="waits", ceiling=ans.allow("mail.send"), ttl="8h"
        )
        engine.agents.suspend("idle", reason=HOSTILE_SENTENCE)
        engine.halt(reason=HOSTILE_SENTENCE, tool="never.**")
        gone = engine.humans.register("gone@example.com", name=HOSTILE_NAME)
        proof = path.with_name("proof.json")
        proof.write_text(engine.humans.offboard(gone, reason=HOSTILE_SENTENCE).text)
        return Shop(
            path=path,
            proof=str(proof),
            grant=grant.id,
            child=child.id,
            token=child.token,
            task=grant.task,
            approval=asked.id,
            rule=rule.id,
            **{name: str(id_) for name, id_ in entries.items()},
        )
