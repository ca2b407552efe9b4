"""Each test declares its tools in a process of its own, as far as their names go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shop import Cli, Done, Shop, make

from answerable import guard
from answerable.cli import main


@pytest.fixture(autouse=True)
def own_tool_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tool names belong to one function a process; tests share a process."""
    monkeypatch.setattr(guard, "_tools", {})


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A store that hostile people worked on; nobody opens it but through a copy."""
    return make(tmp_path_factory.mktemp("shop") / "governance")


@pytest.fixture
def shop(made: Shop, tmp_path: Path) -> Shop:
    """A copy that the test may change."""
    shutil.copytree(made.path, tmp_path / "governance")
    shutil.copy2(made.path.with_name("governance.key"), tmp_path / "governance.key")
    return Shop(**{**vars(made), "path": tmp_path / "governance"})


@pytest.fixture
def cli(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("ANSWERABLE_STORE", str(shop.path))
    monkeypatch.delenv("ANSWERABLE_DEBUG", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*argv: str) -> Done:
        code = main(argv)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run
