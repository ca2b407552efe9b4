"""No form of a secret reaches an entry, a log, an exception or the model."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import logging
import pickle
import traceback
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guarding import World
from lending import SECRET, put

import answerable as ans
from answerable.guard import governed


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


FORMS = [
    lambda text: text,
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(f"user:{text}".encode()).decode(),
    lambda text: base64.b64encode(f"us:{text}!".encode()).decode(),
    lambda text: urllib.parse.quote(text),
    lambda text: urllib.parse.quote(text, safe=""),
    lambda text: urllib.parse.quote_plus(text),
    lambda text: json.dumps({"key": text}),
    lambda text: json.dumps(text, ensure_ascii=False),
    lambda text: repr(text),
    lambda text: repr(text.encode()),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex(":").upper(),
    lambda text: " ".join(f"0x{byte:02x}" for byte in text.encode()),
    lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    lambda text: "".join(f"\\x{byte:02X}" for byte in text.encode()),
    lambda text: "".join(f"\\u{ord(character):04X}" for character in text),
    lambda text: "".join(f"&#{ord(character)};" for character in text),
    lambda text: html.escape(text),
    lambda text: ascii(text),
    lambda text: json.dumps(json.dumps(text)),
    lambda text: repr(repr(text)),
    lambda text: base64.encodebytes(("~" * 40 + text + "~" * 40).encode()).decode()[41:],
    lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
]


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_no_form_of_it_is_recorded(world: World, form: int) -> None:
    put(world)
    dressed = FORMS[form](SECRET)
    core = dressed.strip("\"'")

    @ans.tool("t.leak", credential="bank-api", resource="path:{where}")
    def leak(where: str, memo: str, deep: dict[str, Any]) -> Any:
        if memo.startswith("raise"):
            raise RuntimeError(f"failed with {dressed}")
        return [{"answer": dressed}, dressed.encode()]

    with world.acting():
        given = leak("a", f"memo {dressed}", {dressed: [dressed]})
        assert given == [{"answer": dressed}, dressed.encode()], "the caller gets what it returned"
        with pytest.raises(RuntimeError, match="failed"):
            leak("a", "raise", {})
        with governed("t.other", {"x": dressed}, resource=None):
            pass
    everything = world.everything()
    assert core not in everything
    assert json.dumps(core)[1:-1] not in everything
    assert "(credential bank-api)" in everything


def test_a_denial_does_not_show_it(world: World) -> None:
    put(world)

    @ans.tool("t.pick")
    def pick(which: str) -> None: ...

    only = ans.allow("t.pick", where={"which": ans.equals("a")})
    with world.acting(only), pytest.raises(ans.AccessDenied) as denied:
        pick(SECRET)
    error = denied.value
    shown = "".join(traceback.format_exception(error)) + repr(error.decision.reasons) + error.hint
    assert SECRET not in shown
    assert SECRET not in str(world.engine.explain(error.decision.entry))
    assert SECRET not in repr(world.engine.trail.story(error.decision.entry))


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async_generator"])
def test_redact_result_alters_what_leaves_the_tool(world: World, kind: str) -> None:
    put(world)

    @ans.tool("t.function", credential="bank-api", redact_result=True)
    def function(fail: bool) -> Any:
        if fail:
            try:
                raise KeyError(SECRET)
            except KeyError as error:
                raise RuntimeError("no", {"key": SECRET}) from error
        return {"key": [SECRET, (SECRET,)], "plain": 5}

    @ans.tool("t.coroutine", credential="bank-api", redact_result=True)
    async def coroutine(fail: bool) -> Any:
        if fail:
            raise RuntimeError(SECRET)
        return {"key": [SECRET, (SECRET,)], "plain": 5}

    @ans.tool("t.generator", credential="bank-api", redact_result=True)
    def generator(fail: bool) -> Any:
        yield {"key": [SECRET, (SECRET,)], "plain": 5}
        if fail:
            raise RuntimeError(SECRET)

    @ans.tool("t.async_generator", credential="bank-api", redact_result=True)
    async def async_generator(fail: bool) -> Any:
        yield {"key": [SECRET, (SECRET,)], "plain": 5}
        if fail:
            raise RuntimeError(SECRET)

    async def collect(fail: bool) -> Any:
        return [item async for item in async_generator(fail)]

    runs: dict[str, Any] = {
        "function": lambda fail: function(fail),
        "coroutine": lambda fail: asyncio.run(coroutine(fail)),
        "generator": lambda fail: next(iter(list(generator(fail)))),
        "async_generator": lambda fail: asyncio.run(collect(fail))[0],
    }
    with world.acting():
        clean = {"key": ["(credential bank-api)", ("(credential bank-api)",)], "plain": 5}
        assert runs[kind](False) == clean
        with pytest.raises(RuntimeError) as raised:
            runs[kind](True)
    shown = "".join(traceback.format_exception(raised.value))
    assert SECRET not in shown
    assert SECRET not in world.everything()


def test_the_hunt_finds_none_of_twenty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Twenty secrets; tools that raise, return and log them; a search of all that was written."""
    secrets = [f"s3cr3t/{n:02}+{'äß' * (n % 3)}=={n * 7919}" for n in range(20)]
    world = World(tmp_path)
    for n, secret in enumerate(secrets):
        put(world, f"key-{n}", secret)
    shown: list[str] = []
    caplog.set_level(logging.DEBUG)

    @ans.tool("t.all", credential=[f"key-{n}" for n in range(8)], redact_result=True)
    def everything(how: str, memo: list[str]) -> Any:
        revealed = [ans.credential(f"key-{n}").reveal() for n in range(8)]
        if how == "raise":
            raise RuntimeError(" ".join(revealed), secrets)
        return {"all": secrets, "encoded": [FORMS[2](one) for one in secrets]}

    with world.acting():
        for memo in secrets:
            result = everything("return", [form(memo) for form in FORMS])
            shown.append(repr(result))
        with pytest.raises(RuntimeError) as raised:
            everything("raise", [])
        shown.append("".join(traceback.format_exception(raised.value)))
        with pytest.raises(ans.AccessDenied) as denied:
            everything("x", [secrets[0]], object())  # type: ignore[call-arg]
        shown.append("".join(traceback.format_exception(denied.value)))
        shown.append(repr(pickle.dumps(denied.value)))
    for form in FORMS:
        said = " and ".join(map(form, secrets))[:4_000]
        world.engine.halt(tool="never.*", reason=said, by=world.alice)
        shown.append(repr(world.engine.halts()))
        world.engine.unhalt(tool="never.*", reason=said, by=world.alice)
        agent = world.engine.agents.issue(
            f"agent-{len(shown)}", owner=world.alice, purpose=said, ttl="1h",
            ceiling=[ans.allow("t.**")],
        )  # fmt: skip
        grant = world.engine.grant(
            world.alice, agent, task=form(secrets[3]), ttl="5m", scope=[ans.allow("t.**")]
        )
        shown.extend([agent.purpose, *map(str, grant.statements)])
    shown.extend([world.everything(), caplog.text, repr(world.engine.vault.list())])
    for entry in world.entries():
        shown.append(repr(world.engine.trail.story(entry)) + str(world.engine.explain(entry)))
    world.engine.close()
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    haystack = [text.encode() for text in shown] + files
    for secret in secrets:
        for form in FORMS:
            needle = form(secret).strip("\"'{}").encode()
            needles = {needle, json.dumps(needle.decode())[1:-1].encode()}
            for straw in haystack:
                for one in needles:
                    assert one not in straw, (secret, one)
