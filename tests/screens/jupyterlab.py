"""Pictures of every notebook as JupyterLab shows it, to be looked at: light and dark.

`python tests/screens/jupyterlab.py OUT` with `jupyterlab` and `websockets` in the environment that
runs it, and Chromium as `chromium` (or `--chromium`). JupyterLab listens on this machine alone,
under a token of its own; the notebooks are opened as a copy, trusted and (`--untrusted`) as they
come from somebody else. No test: what is right is for the eye.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

NOTEBOOKS = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
WIDTH, PAGE = 1400, 1500
HEIGHT = """(() => { const p = document.querySelector('.jp-Notebook .jp-WindowedPanel-outer')
  || document.querySelector('.jp-Notebook'); return p ? Math.ceil(p.scrollHeight) : 0 })()"""
# What is wider than its place, so that a part of it is not seen: told beside the pictures.
CUT = """JSON.stringify([...document.querySelectorAll('.jp-OutputArea-output *')]
  .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
    && getComputedStyle(e).overflowX !== 'visible')
  .map(e => e.outerHTML.replace(/<style>.*?<\\/style>/, '').slice(0, 120)).slice(0, 20))"""

SHAPE = """(() => { const one = document.querySelectorAll('.jp-OutputArea-output .pick .on')[2];
  if (!one) return null; const r = one.getBoundingClientRect();
  return JSON.stringify([r.x + r.width / 2, r.y + r.height / 2]) })()"""
TOLD = """[...document.querySelectorAll('.told')]
  .filter(e => getComputedStyle(e).display !== 'none').map(e => e.textContent).join(' | ')"""
TABLES = "document.querySelectorAll('.jp-OutputArea-output details').length"
OPENED = "document.querySelector('.jp-OutputArea-output details').open"


class Page:
    """A page of the browser, over its DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.number = socket, 0

    async def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """Calls a method and waits for what it answers."""
        self.number += 1
        call = {"id": self.number, "method": method, "params": given}
        await self.socket.send(json.dumps(call))
        while True:
            answer = json.loads(await self.socket.recv())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result

    async def value(self, script: str) -> Any:
        """What a script evaluates to."""
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    async def until(self, script: str, seconds: float = 120) -> None:
        """Waits until a script evaluates to something true."""
        for _ in range(int(seconds * 2)):
            if await self.value(script):
                return
            await asyncio.sleep(0.5)
        raise RuntimeError(f"the page never came to: {script}")

    async def size(self, height: int) -> None:
        """How large the window is."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=WIDTH,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def shoot(self, out: Path, top: int, height: int) -> None:
        """A picture of a part of the page."""
        clip = {"x": 0, "y": top, "width": WIDTH, "height": height, "scale": 1}
        shot = await self.ask("Page.captureScreenshot", format="png", clip=clip)
        out.write_bytes(base64.b64decode(shot["data"]))


async def notebook(page: Page, address: str, out: Path, name: str) -> None:
    """Opens one notebook and takes its pictures, from top to bottom."""
    await page.size(PAGE)
    await page.ask("Page.navigate", url=address)
    await page.until("document.querySelectorAll('.jp-Notebook .jp-Cell').length > 3")
    await page.until("!document.querySelector('.jp-NotebookPanel.jp-mod-loading')")
    await asyncio.sleep(4)
    whole = int(await page.value(HEIGHT)) + 120
    # As tall as the notebook: JupyterLab draws what is in the window.
    await page.size(whole)
    await asyncio.sleep(4)
    for number, top in enumerate(range(0, whole, PAGE)):
        await page.shoot(out / f"{name}-{number:02}.png", top, min(PAGE, whole - top))
    sys.stdout.write(f"{name}: {whole} px; not seen whole: {await page.value(CUT)}\n")
    await click(page, out, name)


async def click(page: Page, out: Path, name: str) -> None:
    """Clicks a shape of the first picture and opens its numbers, as a reader would."""
    place = await page.value(SHAPE)
    if place is None:
        sys.stdout.write(f"{name}: no picture is drawn; tables: {await page.value(TABLES)}\n")
        return
    x, y = json.loads(place)
    for kind in ("mousePressed", "mouseReleased"):
        given = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        await page.ask("Input.dispatchMouseEvent", **given)
    sys.stdout.write(f"{name}: clicked, and told: {await page.value(TOLD)}\n")
    # By the keyboard: the summary takes the focus, and Enter opens it.
    await page.value("document.querySelector('.jp-OutputArea-output details summary').focus()")
    for kind in ("keyDown", "keyUp"):
        given = {"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await page.ask("Input.dispatchKeyEvent", **given, text="\r")
    sys.stdout.write(f"{name}: opened by a key: {await page.value(OPENED)}\n")
    await page.shoot(out / f"{name}-clicked.png", max(int(y) - 500, 0), 1000)


async def pictures(port: int, work: Callable[[Page], Awaitable[None]]) -> None:
    """Does some work with a new page."""
    about = None
    for _ in range(120):
        try:
            where = f"http://127.0.0.1:{port}/json/new?about:blank"
            asked = urllib.request.Request(where, method="PUT")
            with urllib.request.urlopen(asked) as answer:
                about = json.load(answer)
            break
        except OSError:
            await asyncio.sleep(0.5)
    if about is None:
        raise RuntimeError("the browser does not answer")
    async with connect(about["webSocketDebuggerUrl"], max_size=None) as opened:
        await work(Page(opened))


def free() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--untrusted", action="store_true")
    parser.add_argument("--only", default="*")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        with tempfile.TemporaryDirectory() as folder:
            show(args, theme, Path(folder))


def show(args: argparse.Namespace, theme: str, folder: Path) -> None:
    """One JupyterLab in one theme, and every notebook in it."""
    root, settings = folder / "root", folder / "settings"
    shutil.copytree(NOTEBOOKS, root, ignore=lambda _, names: {"company"} & set(names))
    settings.mkdir()
    wished = {
        "@jupyterlab/apputils-extension:themes": {"theme": f"JupyterLab {theme.title()}"},
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
        "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    }
    (settings / "overrides.json").write_text(json.dumps(wished), "utf-8")
    own = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    env = {**os.environ, **own, "HOME": str(folder)}
    names = sorted(file.stem for file in root.glob(f"{args.only}.ipynb"))
    if not args.untrusted:
        trust = [sys.executable, "-m", "jupyter", "trust", *(f"{name}.ipynb" for name in names)]
        subprocess.run(trust, cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)
    token, port, debug = secrets.token_hex(16), free(), free()
    lab = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    lab += [f"--IdentityProvider.token={token}", f"--LabApp.app_settings_dir={settings}"]
    lab += ["--allow-root", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"]
    browser = [args.chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "about:blank"]
    browser += [f"--remote-debugging-port={debug}", f"--user-data-dir={folder / 'browser'}"]
    browser += [f"--blink-settings=preferredColorScheme={0 if theme == 'dark' else 1}"]
    running = []
    try:
        for command in (lab, browser):
            with (folder / f"{len(running)}.log").open("wb") as log:
                running.append(
                    subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
                )

        async def work(page: Page) -> None:
            for name in names:
                address = f"http://127.0.0.1:{port}/lab/tree/{name}.ipynb?token={token}&reset"
                await notebook(page, address, args.out, f"{name}-{theme}")

        wait_for(port, running[0])
        asyncio.run(pictures(debug, work))
    except BaseException:
        for log_file in sorted(folder.glob("*.log")):
            sys.stderr.write(log_file.read_text("utf-8", "replace")[-2000:])
        raise
    finally:
        for one in running:
            one.terminate()
            one.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until somebody listens."""
    import time

    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError("JupyterLab ended")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("JupyterLab does not listen")


if __name__ == "__main__":
    main()
