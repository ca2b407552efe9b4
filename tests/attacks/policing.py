"""A deployment with policies to attack: a tool with typed arguments, and a folder to load from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attacking import World

import answerable as ans

ALL = '@id("all") permit (principal, action, resource);'


class Policed:
    """A tool that pays, under a grant that allows anything, and policies beside it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder / "policies"
        self.folder.mkdir()
        self.grant = world.grant(scope=ans.allow("pay.*"))
        self.ran: list[Any] = []

        @ans.tool("pay.wire", resource="account/{account}", engine=world.engine)
        def wire(account: str, amount: float, note: str = "") -> str:
            self.ran.append((account, amount, note))
            return "done"

        self.wire = wire

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, text: str) -> Any:
        self.write("policies.cedar", text)
        return self.world.engine.policies.load(self.folder)

    def call(self, *args: Any) -> None:
        with self.world.engine.acting(self.grant):
            self.wire(*(args or ("a", 10.0)))

    def denies(self, code: str, *args: Any) -> str:
        before = len(self.ran)
        with pytest.raises(ans.AccessDenied) as denied:
            self.call(*args)
        assert denied.value.code == code, denied.value
        assert len(self.ran) == before
        return str(denied.value)

    def refuses(self, error: type[ans.Error], words: str) -> None:
        """The folder is not loaded, and what was in force stays so."""
        engine = self.world.engine
        version, entries = engine.policies.version, len(engine.trail.entries(kind="policy"))
        with pytest.raises(error) as refused:
            engine.policies.load(self.folder)
        assert words in str(refused.value), refused.value
        assert engine.policies.version == version
        assert len(engine.trail.entries(kind="policy")) == entries
