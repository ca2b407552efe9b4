"""A credential that tests of the vault put, and how."""

from __future__ import annotations

from typing import Any

from guarding import World

SECRET = "sk-live-Zq9/w+7=äöü"


def put(world: World, name: str = "bank-api", secret: str | bytes = SECRET, **facts: Any) -> None:
    facts.setdefault("for_tools", ["t.**"])
    world.engine.vault.put(name, secret, by=world.alice, **facts)
