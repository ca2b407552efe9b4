"""One run of a command: its arguments, the engine it needs, and its output."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from answerable.cli.output import Output
from answerable.errors import StoreBusy, StoreError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from answerable.engine import Engine

__all__ = ["BY", "COMMANDS", "REASON", "Argument", "Command", "Run", "UsageError", "command"]

DEFAULT_STORE = "governance"
# How often, and how long between, a store in use is tried again: two seconds in all.
ATTEMPTS, PAUSE = 9, 0.25


class UsageError(Exception):
    """A command line that means nothing."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Argument:
    """One argument of a command, as `argparse` takes it."""

    def __init__(self, *names: str, **options: Any) -> None:
        self.names = names
        self.options = options


class Command:
    """One command: its words, its sentence, its arguments, and the function that does it."""

    def __init__(
        self, words: str, arguments: tuple[Argument, ...], function: Callable[..., Any]
    ) -> None:
        self.words = tuple(words.split())
        self.help = (function.__doc__ or "").rstrip(".")
        self.arguments = arguments
        self.function = function


COMMANDS: dict[tuple[str, ...], Command] = {}

REASON = Argument("--reason", required=True, help="why, in a sentence; recorded")
BY = Argument("--by", metavar="HUMAN", help="who does it; your account here without it")


def command(words: str, *arguments: Argument) -> Callable[..., Any]:
    """Declares a command by its words; the function's documentation is its help.

    Example:
        @command("agents retire", AGENT, REASON, BY)
        def retire(run: Run) -> None:
            '''End an agent for good.'''
            made = run.engine.agents.retire(run.args.agent, reason=run.args.reason, by=run.args.by)
            run.done(f"{made.name} is retired", agent(made))
    """

    def declare(function: Callable[[Run], int | None]) -> Callable[[Run], int | None]:
        made = Command(words, arguments, function)
        COMMANDS[made.words] = made
        return function

    return declare


class Run:
    """What a command gets."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.out = Output(json=args.json, utc=args.utc)
        self._stack = contextlib.ExitStack()
        self._engine: Engine | None = None

    @property
    def store(self) -> Path:
        """The store's folder."""
        given: str | None = self.args.store
        return Path(given or os.environ.get("ANSWERABLE_STORE") or DEFAULT_STORE)

    @property
    def engine(self) -> Engine:
        """The engine on the store that is there; a mistyped path never makes one."""
        if self._engine is None:
            if not (self.store / "FORMAT").exists():
                raise StoreError(
                    f"there is no store in {self.store}",
                    code="store_missing",
                    hint="make one with `answerable init`, or name it with --store or "
                    "ANSWERABLE_STORE",
                )
            self._engine = self.open()
        return self._engine

    def open(self, *, accept_restore: str | None = None, repair: bool = False) -> Engine:
        """Opens the store, and makes it if there is none."""
        from answerable.opening import open as open_engine
        from answerable.opening import open_here

        for attempt in range(ATTEMPTS):
            try:
                # A command is over before anybody else could make use of being served.
                opened = open_engine(
                    self.store,
                    serve=False,
                    attach=not repair,
                    accept_restore=accept_restore,
                    repair=repair,
                    rules=False,
                )
                return self._stack.enter_context(opened)
            except StoreBusy as busy:
                if open_here(self.store):
                    raise
                # Another command, which is as short, or an application that is just starting.
                if attempt < ATTEMPTS - 1:
                    time.sleep(PAUSE)
                    continue
                hint = (
                    "it does not serve this account: stop it, or ask it; an export can be read "
                    "meanwhile"
                )
                raise StoreBusy(str(busy), code=busy.code, hint=hint) from busy
        raise AssertionError("the last attempt answers")

    def done(self, sentence: str, record: Mapping[str, Any]) -> None:
        """Says what a verb has done."""
        self.out.sentence(sentence, record)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        self.out.flush()
