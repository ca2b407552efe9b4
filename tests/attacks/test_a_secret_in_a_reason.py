"""A secret is carried out of the vault in the reasons, notes and sentences that verbs record.

Class: token theft
Refusal: the stand-in `(credential bank)`, or the refusal of a name or scope that holds it
Check: src/recorder/masked.rs:masked: what lies beside every entry that tells of no call
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attacking import World

import answerable as ans

SECRET = "sk-live-0123456789"
REMOVED = [
    ("src/recorder/masked.rs", "«redactor.veil(&beside.value)»\n", "None::<Value>"),
    ("src/engine/redacting.rs", "let Some(mut clean) = «self.redact(text)»", "None::<String>"),
]


def test_a_secret_in_a_reason(world: World, tmp_path: Path) -> None:
    engine, alice = world.engine, world.alice
    engine.vault.put("bank", SECRET, for_tools=["pay.*"], by=alice)
    engine.vault.put("other", "another-secret", for_tools=["pay.*"], by=alice)
    said = f"because {SECRET.encode().hex(':')} says so"
    agent = engine.agents.issue(
        "mule", owner=alice, purpose=said, model=said, version=said, ttl="2h",
        ceiling=[ans.allow("pay.*")],
    )  # fmt: skip
    human = engine.humans.register("mule@example.com", name=said)
    grant = engine.grant(alice, agent, task=said, scope=world.wide(), ttl="1h", max_depth=1)
    with (
        engine.acting(grant),
        engine.delegating(world.mallory, scope=[world.narrow()], task=said, ttl="5m") as held,
    ):
        told = [held.statements[1] or ""]
    asked = engine.request_access(grant, scope=[ans.allow("pay.a")], reason=said, ttl="5m")
    engine.approvals.refuse(asked.id, by=alice, note=said)
    engine.agents.suspend(agent, reason=said, by=alice)
    engine.agents.resume(agent, reason=said, by=alice)
    engine.halt(agent=agent, reason=said, by=alice)
    halts = engine.halts()
    engine.unhalt(agent=agent, reason=said, by=alice)
    engine.agents.transfer(agent, owner=world.bob, reason=said, by=alice)
    engine.revoke(grant, reason=said, by=alice)
    engine.tasks.end(grant.task, reason=said, by=alice)
    engine.agents.retire(agent, reason=said, by=alice)
    engine.review().attest(note=said, by=alice)
    engine.vault.remove("other", reason=said, by=alice)
    engine.humans.offboard(human, reason=said, by=alice)
    engine.trail.erase(human=human, reason=said, by=alice)
    told += [repr(halts), engine.agents.get(agent.id).purpose, grant.statements[0] or ""]
    told += [str(engine.tasks.get(grant.task).sentence)]
    engine.trail.export(path := tmp_path / "trail.jsonl")
    told += [path.read_text("utf-8")]
    for text in told:
        assert SECRET.encode().hex(":") not in text
    assert told[-1].count("(credential bank)") >= 20
    assert all("(credential bank)" in text for text in (told[0], told[2]))


def test_a_secret_in_a_name_or_scope(world: World) -> None:
    engine, alice = world.engine, world.alice
    engine.vault.put("bank", SECRET, for_tools=["pay.*"], by=alice)
    scope = [ans.allow("pay.*", where={"memo": ans.equals(SECRET)})]
    issue = {"owner": alice, "purpose": "p", "ceiling": [ans.allow("pay.*")], "ttl": "1h"}
    for attempt in (
        lambda: engine.agents.issue(f"mule-{SECRET}", **issue),
        lambda: engine.agents.issue("mule", **{**issue, "ceiling": scope}),
        lambda: engine.humans.register(SECRET),
        lambda: world.grant(scope=scope),
        lambda: engine.vault.put("x", "y" * 9, for_tools=[SECRET], by=alice),
        lambda: engine.vault.put("abcdefgh", "abcdefgh", for_tools=["pay.*"], by=alice),
    ):
        with pytest.raises(ans.InvalidInput) as refused:
            attempt()
        assert SECRET not in str(refused.value) + refused.value.hint
