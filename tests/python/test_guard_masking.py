"""What is masked stands nowhere: not in entries, outcomes, denials, exceptions or reprs."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guarding import World

import answerable as ans

SECRET = "hunter2-s3cr3t"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


@dataclasses.dataclass
class Login:
    user: str
    password: str


NAMES = [
    "password", "passwd", "pwd", "user_password", "secret", "client_secret", "token", "accessToken",
    "api_key", "apikey", "ApiKey", "private_key", "authorization", "credential", "credentials",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_secrets_are_masked_by_default(world: World, name: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def body({name}: str, other: str) -> str: return {name}", names)
    body = ans.tool("t.masked")(names["body"])
    with world.acting():
        assert body(SECRET, other="plain") == SECRET, "the caller gets what the tool returns"
    assert SECRET not in world.everything()
    assert "plain" in world.everything()


@pytest.mark.parametrize("name", ["tokenize", "passenger", "secretary", "key", "author"])
def test_names_that_only_look_like_it_are_kept(world: World, name: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def body({name}: str) -> None: ...", names)
    with world.acting():
        ans.tool("t.kept")(names["body"])(SECRET)
    assert SECRET in world.everything()


def test_a_declaration_stands_over_a_name(world: World) -> None:
    @ans.tool("t.declared", record={"token": "keep", "memo": "mask", "note": "digest"})
    def body(token: str, memo: str, note: str) -> None: ...

    with world.acting():
        body("kept-text", "masked-text", "digested-text")
    everything = world.everything()
    assert "kept-text" in everything
    assert "masked-text" not in everything
    assert "digested-text" not in everything


@pytest.mark.parametrize(
    "value",
    [
        {"user": "alice", "password": SECRET},
        {"a": [{"b": ({"api_key": SECRET},)}]},
        Login("alice", SECRET),
        [Login("alice", SECRET)],
        {"headers": {"Authorization": SECRET}},
        {"credentials": {"user": "x", "key": SECRET}},
        {"token": [SECRET]},
    ],
)
def test_nested_secrets_are_masked_in_arguments_and_results(world: World, value: Any) -> None:
    @ans.tool("t.nested")
    def body(config: Any) -> Any:
        world.ran.append(config)
        return {"again": config}

    with world.acting():
        assert body(value) == {"again": value}
    assert world.ran == [value], "the body gets the true value"
    assert SECRET not in world.everything()


def test_nested_declarations_by_dotted_name(world: World) -> None:
    @ans.tool("t.dotted", record={"config.token": "keep", "config.iban": "mask"})
    def body(config: dict[str, str]) -> None: ...

    with world.acting():
        body({"token": "kept-text", "iban": "masked-text"})
    assert "kept-text" in world.everything()
    assert "masked-text" not in world.everything()


@pytest.mark.parametrize(
    "secret", [SECRET, 'it\'s\n"odd"\\', 123456789, b"raw-bytes", uuid.uuid4()]
)
def test_exceptions_and_results_that_mention_a_secret(world: World, secret: Any) -> None:
    @ans.tool("t.mentions")
    def raises(password: Any) -> None:
        raise KeyError(f"no {password} here", password)

    @ans.tool("t.amentions")
    async def returns(password: Any, nested: Any) -> str:
        return f"ok {password} {nested}"

    with world.acting():
        with pytest.raises(KeyError) as caught:
            raises(secret)
        assert secret in caught.value.args, "the caller's exception is not altered"
        assert str(secret) in asyncio.run(returns(secret, {"token": secret}))
    text = secret.decode() if isinstance(secret, bytes) else str(secret)
    for form in (text, text.replace("\n", "\\n"), repr(text)[1:-1]):
        assert form not in world.everything()


@pytest.mark.parametrize(
    "scope",
    [
        {"password": ans.equals("right-secret"), "config": ans.any_()},
        {"password": ans.starts_with("right-secret"), "config": ans.any_()},
        {"password": ans.any_(), "config": ans.equals({"token": "right-secret"})},
        {"password": ans.any_(), "config.token": ans.equals("right-secret")},
        {"password": ans.any_(), "config": ans.one_of({"token": "right-secret"})},
        {"password": ans.same_as("config"), "config": ans.any_()},
        {"config": ans.any_()},
    ],
)
def test_a_denial_shows_neither_what_was_given_nor_what_is_right(
    world: World, scope: dict[str, Any]
) -> None:
    @ans.tool("t.denied")
    def body(password: str, config: dict[str, str]) -> None:
        world.ran.append(password)

    with (
        world.acting(ans.allow("t.denied", where=scope)),
        pytest.raises(ans.AccessDenied) as denied,
    ):
        body(SECRET, {"token": SECRET})
    decision = denied.value.decision
    shown = (
        f"{denied.value} {denied.value!r} {decision!r} {decision.reasons} {denied.value.__notes__}"
    )
    shown += " ".join(f"{r.message} {r.allowed} {r.fix}" for r in decision.reasons)
    assert SECRET not in shown
    assert "right-secret" not in shown
    assert SECRET not in world.everything()
    assert world.ran == []


def test_a_value_that_cannot_be_read_is_not_shown_either(world: World) -> None:
    @dataclasses.dataclass
    class Breaks:
        password: str

        def __getattribute__(self, name: str) -> Any:
            if name == "password":
                raise ValueError(SECRET)
            return super().__getattribute__(name)

    @ans.tool("t.breaks")
    def body(login: Any) -> None: ...

    with world.acting(), pytest.raises(ans.AccessDenied) as denied:
        body(Breaks(SECRET))
    assert SECRET not in str(denied.value)
    assert SECRET not in world.everything()


def test_masked_results(world: World) -> None:
    @ans.tool("t.result", record={"return": "mask"})
    def body() -> str:
        return SECRET

    with world.acting():
        assert body() == SECRET
    assert SECRET not in world.everything()
    assert world.outcome() == ("returned", "str")


def test_a_masked_argument_cannot_name_a_resource() -> None:
    with pytest.raises(ans.InvalidInput, match="recorded as it is"):
        ans.tool("t.session", resource="session/{token}")(lambda token: token)
    assert ans.tool("t.session", resource="session/{token}", record={"token": "keep"})(
        lambda token: token
    )


def test_a_masked_text_does_not_hide_what_is_kept(world: World) -> None:
    """Else a model could blank the record by repeating an argument in a masked one."""

    @ans.tool("t.hiding", record={"memo": "mask"})
    def body(iban: str, memo: str) -> None: ...

    with world.acting():
        body("DE12", "DE12")
    assert world.entries()[-1].arguments["iban"] == "DE12"
