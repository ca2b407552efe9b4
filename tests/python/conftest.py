"""What the tests share: a store with a past, the command line, how properties are tried."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from shop import Cli, Done, Shop, make

from answerable.cli import main

with contextlib.suppress(ImportError):  # The environments of the integrations have none.
    from hypothesis import HealthCheck, settings

    # A machine may be slow, and every run tries the same; each seed its own in the full run.
    settings.register_profile(
        "default",
        deadline=None,
        derandomize=os.environ.get("ANSWERABLE_CASES") != "full",
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    settings.load_profile("default")


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
