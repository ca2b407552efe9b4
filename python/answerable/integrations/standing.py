"""What every adapter needs: which authority a framework's call stands under, and how it is refused.

A framework's run context may hold a grant, or a handle where the framework may write it down. What
it holds and what is in force around it must be of one chain; the longer one acts.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from answerable import _core
from answerable.context import acting, current
from answerable.engine import Engine
from answerable.errors import AccessDenied, Error, InvalidInput
from answerable.guard import _spec, governed

__all__ = [
    "Narrowed",
    "OnDenied",
    "Rules",
    "Turn",
    "Turns",
    "decorated",
    "grant_of",
    "joined",
    "standing",
    "visible",
    "without_defaults",
]

OnDenied = Literal["message", "raise"]
logger = logging.getLogger("answerable")


class Rules:
    """How the tools of a framework are governed: names, resources, what is recorded.

    Args:
        engine: The engine to ask; without it, that of the authority in force.
        names: Names in the trail and in grants by the framework's name, for tools that have no
            `@ans.tool`: `{"read_invoice": "invoice.read"}`. A tool that is not listed goes by its
            own name.
        resources: Resource templates by the framework's name: `{"read_invoice": "invoice/{no}"}`.
        record: How arguments are recorded, as for `ans.tool`: `{"login": {"pin": "mask"}}`.
        on_denied: `"message"` tells the model and lets the run go on; `"raise"` ends the run with
            `AccessDenied`.

    Raises:
        InvalidInput: An option, name, template or `record` that cannot be.
    """

    def __init__(
        self,
        engine: Any = None,
        *,
        names: Mapping[str, str] | None = None,
        resources: Mapping[str, str] | None = None,
        record: Mapping[str, Mapping[str, str]] | None = None,
        on_denied: OnDenied = "message",
    ) -> None:
        if on_denied not in ("message", "raise"):
            raise InvalidInput(f'on_denied is "message" or "raise", not `{on_denied}`')
        if engine is not None and not isinstance(engine, Engine):
            raise InvalidInput(f"expected an engine, not {type(engine).__name__}")
        self.engine: Engine | None = engine
        self.on_denied: OnDenied = on_denied
        self._names = dict(names or {})
        self._resources = dict(resources or {})
        self._record = {name: dict(ways) for name, ways in (record or {}).items()}
        for name in {*self._names, *self._resources, *self._record}:
            self.call(name, {})  # What is misspelt is told here and not at the first call.

    def name(self, tool: str) -> str:
        """The name in grants of a tool that has no guard of its own."""
        return self._names.get(tool, tool)

    def call(self, tool: str, arguments: Mapping[str, Any], **facts: Any) -> governed:
        """One call of a tool by the framework's name: entering it judges and records it."""
        return governed(
            self.name(tool),
            arguments,
            resource=self._resources.get(tool),
            engine=self.engine,
            record=self._record.get(tool),
            **facts,
        )

    def spec(
        self, tool: str, function: Callable[..., Any] | None = None, **facts: Any
    ) -> _core.Tool:
        """What the guard goes by for a tool by the framework's name, and its function."""
        if function is None:
            return _core.Tool(self.name(tool), engine=self.engine, strict=False)
        injected = facts.pop("pass_through", ())
        passed = [name for name in inspect.signature(function).parameters if name in injected]
        facts = {"dangerous": False, "pass_through": passed, **facts}
        resource, record = self._resources.get(tool), self._record.get(tool)
        name = self.name(tool)
        spec = _spec(name, function, resource=resource, record=record, engine=self.engine, **facts)
        _core.declare(spec)  # So that policies can name it.
        return spec

    def against(
        self, tool: str, arguments: Mapping[str, Any], code: str, sentence: str
    ) -> governed:
        """Entering it denies the call and records that, whatever the grant says."""
        return governed(
            self.name(tool),
            arguments,
            engine=self.engine,
            record=self._record.get(tool),
            against=(code, sentence),
        )


def decorated(function: Any) -> str | None:
    """The name in grants of a function that has a guard of its own."""
    spec = getattr(function, "__answerable__", None)
    return spec.name if isinstance(spec, _core.Tool) else None


class standing(  # noqa: N801 - used as a verb.
    contextlib.AbstractContextManager[None], contextlib.AbstractAsyncContextManager[None]
):
    """Puts what a framework's context holds in force, if it holds anything.

    Entering it raises `AccessDenied`, recorded, if what it holds stands for no grant here, or is of
    another chain than what is in force around it.

    Args:
        rules: Whose engine takes handles back.
        given: A grant, a handle, or nothing.
        tool: The tool that is called, for the record of a refusal.
        arguments: Its arguments, for the same.
        kept: Whether the framework may write `given` down: then only a handle is taken.
    """

    def __init__(
        self,
        rules: Rules,
        given: object,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        kept: bool = False,
    ) -> None:
        self._call = rules, given, tool, arguments, kept
        self._acting: acting | None = None

    def __enter__(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            refusal.__enter__()

    async def __aenter__(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            await refusal.__aenter__()

    def __exit__(self, *error: Any) -> None:
        if self._acting is not None:
            self._acting.__exit__(*error)

    async def __aexit__(self, *error: Any) -> None:
        self.__exit__(*error)

    def _refusal(self) -> governed | None:
        rules, given, tool, arguments, kept = self._call
        if given is None:
            return None
        try:
            grant = grant_of(rules, given, kept=kept)
        except Error as error:
            return rules.against(tool, arguments, "no_authority", str(error))
        here = current()
        longer, refusal = joined(here, grant)
        if refusal is not None:
            return rules.against(tool, arguments, *refusal)
        if longer is not None and longer is not here:
            self._acting = acting(longer)
            self._acting.__enter__()
        return None


def joined(
    here: _core.Grant | None, grant: _core.Grant
) -> tuple[_core.Grant | None, tuple[str, str] | None]:
    """The longer of two grants of one chain, or what speaks against the call."""
    if here is not None and here.extends(grant):
        return here, None
    if here is None or grant.extends(here):
        return grant, None
    return None, ("authority_conflict", "two unrelated chains claim this call")


def visible(rules: Rules, grant: _core.Grant | None, name: str) -> bool:
    """Whether some call of a tool, by its name in grants, could be allowed."""
    try:
        if grant is None or rules.engine is None or not grant.scope_for(name):
            return False
        decision = rules.engine.check(name, arguments={}, grant=grant)
    except Error:
        return False  # It is no tool's name, or nothing can be judged now.
    return decision.effect != "deny" or decision.reasons[0].code in _OF_ARGUMENTS


# Why a call without arguments is denied where one with them could be allowed.
_OF_ARGUMENTS = frozenset(
    {
        "argument_missing",
        "caveat_failed",
        "invalid_resource",
        "limit_uncountable",
        "not_an_object",
        "resource_missing",
        "resource_not_covered",
    }
)


def without_defaults(function: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Without what a framework filled in with the function's own default: nobody gave it."""
    parameters = inspect.signature(function).parameters
    return {
        name: value
        for name, value in kwargs.items()
        if not (name in parameters and _same(value, parameters[name].default))
    }


def _same(value: Any, default: Any) -> bool:
    # By exact type and only what compares as it is: a value's own `__eq__` is not asked.
    if value is None or default is None:
        return value is default
    return type(value) is type(default) and type(value) in _PLAIN and value == default


_PLAIN = (str, int, float, bool, bytes)


def grant_of(rules: Rules, given: object, *, kept: bool = False) -> _core.Grant:
    """The grant that is given, itself or by its handle.

    Raises:
        InvalidInput: It is neither, or not what may be written down.
        NotFound: The handle has lapsed.
    """
    if isinstance(given, _core.Grant):
        if kept:
            raise InvalidInput("what a framework may write down is a handle: grant.handle()")
        return given
    if not isinstance(given, str):
        raise InvalidInput(f"a grant or a handle stands for authority, not {type(given).__name__}")
    if rules.engine is None:
        raise InvalidInput("a handle is taken back by the engine: give the adapter engine=")
    return rules.engine.by_handle(given)


class Narrowed:
    """An agent of a framework that acts under a grant of its own, made from the one in force.

    Args:
        rules: Whose engine knows the agent.
        identity: The agent, as issued by the engine.
        max_depth: How many further hops may follow.
    """

    def __init__(self, rules: Rules, identity: Any, max_depth: int = 0) -> None:
        self._identity = identity
        self._max_depth = max_depth
        known = rules.engine.agents.get(identity) if rules.engine is not None else identity
        self._id = getattr(known, "id", None)
        self._name = str(getattr(known, "name", identity))
        self._made: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    async def grant(self, names: Iterable[str]) -> Any:
        """Its grant under the one in force, for these tools: made once and kept.

        Raises:
            AccessDenied: Nothing is in force, or it allows none of the tools, or no further hop.
        """
        parent, key = self._key(names)
        made = parent if parent.agent == self._id else self._made.get(key)
        return made if made is not None else await asyncio.to_thread(self._delegated, parent, key)

    def grant_here(self, names: Iterable[str]) -> Any:
        """The same, in the thread of the caller."""
        parent, key = self._key(names)
        made = parent if parent.agent == self._id else self._made.get(key)
        return made if made is not None else self._delegated(parent, key)

    def _key(self, names: Iterable[str]) -> tuple[_core.Grant, tuple[str, ...]]:
        parent = current()
        if parent is None:
            raise AccessDenied("nothing is in force here to delegate from", code="no_authority")
        return parent, (parent.digest, *sorted(names))

    def _delegated(self, parent: _core.Grant, key: tuple[str, ...]) -> Any:
        with self._lock:
            if (made := self._made.get(key)) is not None:
                return made
            try:
                scope = parent.scope_for(*key[1:])
                if not scope:
                    raise InvalidInput("the grant in force allows none of its tools")
                made = parent.delegate(
                    self._identity, scope=scope, task=self._name, max_depth=self._max_depth
                )
            except Error as error:
                raise AccessDenied(
                    f"`{self._name}` cannot act: {error}",
                    code="delegation_refused",
                    hint=error.hint,
                ) from error
            self._made[key] = made
            if len(self._made) > 256:
                self._made.popitem(last=False)
            return made


class Turns:
    """Calls that a framework may start again after a pause, each of which returns once.

    What returned is kept in this process, so that a call that is started again answers what it
    answered; where it is not kept any more, the call is refused.
    """

    def __init__(self, rules: Rules, kept: int = 256) -> None:
        self.rules = rules
        self._kept = kept
        self._answers: OrderedDict[tuple[str, bytes], Any] = OrderedDict()

    def turn(self, key: bytes | None, tool: str, arguments: Mapping[str, Any]) -> Turn:
        """One call, named by what tells it from every other; None where it has no second turn."""
        return Turn(self, key, tool, arguments)

    def answered(self, at: tuple[str, bytes]) -> Any:
        """What the call answered, if that is kept."""
        return self._answers.get(at)

    def keep(self, at: tuple[str, bytes], answer: Any) -> None:
        """Keeps an answer; the oldest make room."""
        self._answers[at] = answer
        while len(self._answers) > self._kept:
            self._answers.popitem(last=False)


class Turn(
    contextlib.AbstractContextManager["Turn"], contextlib.AbstractAsyncContextManager["Turn"]
):
    """A call that may run if `answer` is None; what it then answers is set there."""

    answer: Any = None

    def __init__(
        self, turns: Turns, key: bytes | None, tool: str, arguments: Mapping[str, Any]
    ) -> None:
        self._turns = turns
        self._call = tool, arguments
        # Without a grant the call is denied in any case, by the guard.
        grant = current() if key is not None else None
        self._claim = (grant, key) if grant is not None and key is not None else None
        self._runs = False

    def __enter__(self) -> Turn:
        if self._claim is not None:
            grant, key = self._claim
            refusal = self._begun(_tried(grant.claim, key), grant, key)
            if refusal is not None:
                refusal.__enter__()
        return self

    async def __aenter__(self) -> Turn:
        if self._claim is not None:
            grant, key = self._claim
            claimed = await asyncio.to_thread(_tried, grant.claim, key)
            refusal = self._begun(claimed, grant, key)
            if refusal is not None:
                await refusal.__aenter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._claim is not None and self._runs:
            self._ended(_tried(self._settle, *self._claim))

    async def __aexit__(self, *error: Any) -> None:
        if self._claim is not None and self._runs:
            self._ended(await asyncio.to_thread(_tried, self._settle, *self._claim))

    def _begun(self, claimed: str | Error, grant: _core.Grant, key: bytes) -> governed | None:
        tool, arguments = self._call
        rules = self._turns.rules
        if isinstance(claimed, Error):
            code = claimed.code if claimed.code == "engine_closed" else "store_unavailable"
            return rules.against(tool, arguments, code, str(claimed))
        self._runs = claimed == "new"
        if claimed == "ended":
            self.answer = self._turns.answered((grant.digest, key))
        if self._runs or self.answer is not None:
            return None
        return rules.against(tool, arguments, "already_ran", _AGAIN[claimed])

    def _settle(self, grant: _core.Grant, key: bytes) -> None:
        if self.answer is not None:
            self._turns.keep((grant.digest, key), self.answer)
        grant.settle(key, returned=self.answer is not None)

    def _ended(self, error: Any) -> None:
        if isinstance(error, Error):
            # The call counts as begun, and is refused when it is started again.
            logger.error("the end of a call could not be noted: %s", error)


def _tried(do: Callable[..., Any], *args: Any) -> Any:
    """What it answers, or our own error: a thread hands both back."""
    try:
        return do(*args)
    except Error as error:
        return error


_AGAIN = {
    "running": "this very call runs already",
    "ended": "this very call returned before the run was resumed, and what it answered is not kept",
    "unknown": "this very call began in a process that is gone; whether it took effect is unknown",
}
