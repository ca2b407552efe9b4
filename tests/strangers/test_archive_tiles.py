"""Archives before a stranger's tool: Go's library for transparency logs, `golang.org/x/mod`.

It runs where Debian's `golang-go` and `golang-golang-x-mod-dev` are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import answerable as ans

SOURCE = Path(__file__).parent / "tlog" / "main.go"
LIBRARY = Path("/usr/share/gocode")

Tool = Callable[[Path, str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    go = shutil.which("go")
    if go is None:
        pytest.skip("golang-go is not installed")
    if not (LIBRARY / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("golang-golang-x-mod-dev is not installed")
    place = tmp_path_factory.mktemp("go")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "GO111MODULE": "off",
        "GOPATH": str(LIBRARY),
        "GOCACHE": str(place / "cache"),
    }
    program = place / "tlog"
    subprocess.run([go, "build", "-o", program, SOURCE], env=env, check=True, timeout=600)
    return lambda folder, key: subprocess.run(
        [program, folder, key], capture_output=True, text=True, timeout=600, check=False
    )


def test_an_archive_is_read_and_proved_by_go(tmp_path: Path, tool: Tool) -> None:
    engine = ans.open(tmp_path / "governance")
    while len(engine.trail) < 600:
        engine.humans.register(f"h{len(engine.trail)}@example.com")
    folder = tmp_path / "archive"
    engine.trail.archive(folder)
    key = engine.trail.checkpoint_key()
    told = tool(folder, key)
    assert told.returncode == 0, told.stderr
    assert "; 600 records and 9 older trees proved" in told.stdout
    print(told.stdout)  # noqa: T201 - what a stranger said of it.

    entries = folder / "tile" / "entries" / "001"
    whole = entries.read_bytes()
    entries.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "record 511" in tool(folder, key).stderr
    entries.write_bytes(whole)
    hashes = folder / "tile" / "0" / "000"
    whole = hashes.read_bytes()
    hashes.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert tool(folder, key).returncode == 1
    hashes.write_bytes(whole)
    checkpoint = folder / "checkpoint"
    checkpoint.write_text(checkpoint.read_text().replace("\n600\n", "\n599\n"))
    assert "invalid signature" in tool(folder, key).stderr
    engine.close()
