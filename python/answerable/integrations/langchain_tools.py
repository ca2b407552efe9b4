"""LangChain's tools under the guard: copies whose bodies ask first.

LangChain makes arguments of what a model wrote before it runs a tool's body: it converts, fills in
defaults and injects. What is judged here is what arrives, told apart by who gave it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from answerable.errors import AccessDenied
from answerable.integrations.standing import Rules, decorated
from answerable.wrappers import wrapped

try:
    from langchain_core.tools import BaseTool, ToolException
    from langchain_core.tools import tool as made_tool
    from langchain_core.utils.pydantic import get_fields
except ImportError as error:
    error.add_note("hint: pip install 'answerable[langchain]'")
    raise

if TYPE_CHECKING:
    from answerable.guard import governed

__all__ = ["NEEDS", "governed_tool", "names_of", "standalone"]

# Where a tool that stands for an agent notes what that agent needs.
NEEDS = "__answerable_needs__"


def names_of(tool: BaseTool, rules: Rules) -> set[str]:
    """What a tool's calls may go by in grants."""
    bodies = [getattr(tool, name, None) for name in ("func", "coroutine", "_run", "_arun")]
    own = {name for name in map(decorated, bodies) if name is not None}
    own |= getattr(tool, NEEDS, frozenset())
    return own if not any(_undecorated(tool)) else {*own, rules.name(tool.name)}


def standalone(tool: BaseTool | Callable[..., Any], rules: Rules) -> BaseTool:
    """A governed copy that answers a denial itself, whoever calls it."""
    given = tool if isinstance(tool, BaseTool) else made_tool(tool)
    copy = governed_tool(given, rules, frozenset())
    copy = given.model_copy() if copy is given else copy
    for attribute in ("func", "coroutine"):
        function = getattr(given, attribute, None)
        if function is not None and decorated(function) is None:
            # For whoever takes the function out of the tool and calls that.
            spec = rules.spec(given.name, function, pass_through=_injected(given))
            object.__setattr__(copy, attribute, wrapped(spec, function))
    if rules.on_denied == "message":
        _answer_denials(copy)
    return copy


class _Refused(ToolException):
    """A denial on its way to LangChain's own handling of a tool's errors."""


def _answer_denials(copy: BaseTool) -> None:
    """Has LangChain make a message of a denial, and leaves the tool's own errors to its flag."""
    run, arun, own = copy._run, copy._arun, copy.handle_tool_error

    @functools.wraps(run)
    def refused(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except AccessDenied as denied:
            raise _Refused(str(denied)) from denied

    @functools.wraps(arun)
    async def arefused(*args: Any, **kwargs: Any) -> Any:
        try:
            return await arun(*args, **kwargs)
        except AccessDenied as denied:
            raise _Refused(str(denied)) from denied

    def handle(error: ToolException) -> Any:
        if isinstance(error, _Refused):
            return str(error)
        if callable(own):
            return own(error)
        if isinstance(own, str):
            return own
        if own:
            return str(error.args[0]) if error.args else "Tool execution error"
        raise error

    object.__setattr__(copy, "_run", refused)
    object.__setattr__(copy, "_arun", arefused)
    object.__setattr__(copy, "handle_tool_error", handle)


def governed_tool(tool: BaseTool, rules: Rules, given: frozenset[str]) -> BaseTool:
    """A copy whose body runs under the guard; the tool itself if it has guards of its own.

    LangChain validates and converts what the model wrote before it calls `_run` or `_arun`, so
    only there do the judged arguments equal those that the body receives: `"80"` arrives as 80.
    """
    sync_open, async_open = _undecorated(tool)
    if not (sync_open or async_open):
        return tool
    # What the model gave is judged, whatever its name.
    passed = (_injected(tool) | _PLUMBING) - given

    def ask(named: dict[str, Any]) -> governed:
        return rules.call(
            tool.name,
            {name: value for name, value in named.items() if name not in passed},
            by_reference={
                name: value
                for name, value in named.items()
                if name in passed and name not in _PLUMBING
            },
            defaulted=_left_at_default(tool, named, given),
        )

    @functools.wraps(tool._run)
    def run(*args: Any, **kwargs: Any) -> Any:
        placed = _placed(tool, args, kwargs)
        with ask({**placed, **kwargs}) as call:
            args, kwargs = _judged(call.arguments, placed, kwargs)
            call.result = tool._run(*args, **kwargs)
            return call.result

    @functools.wraps(tool._arun)
    async def arun(*args: Any, **kwargs: Any) -> Any:
        placed = _placed(tool, args, kwargs)
        async with ask({**placed, **kwargs}) as call:
            args, kwargs = _judged(call.arguments, placed, kwargs)
            call.result = await tool._arun(*args, **kwargs)
            return call.result

    # On the instance and past pydantic: a subclass would lose the tool's own type and state.
    copy = tool.model_copy()
    mark = rules.spec(tool.name)
    bodies: list[tuple[str, bool, Any]] = [("_run", sync_open, run), ("_arun", async_open, arun)]
    for name, is_open, body in bodies:
        if is_open:
            body.__answerable__ = mark
            object.__setattr__(copy, name, body)
    return copy


# What LangChain hands to its own `_run` and `_arun`, besides a tool's arguments.
_PLUMBING = frozenset({"config", "run_manager"})


def _undecorated(tool: BaseTool) -> tuple[bool, bool]:
    """Whether `_run` and `_arun` would reach a body that has no guard of its own."""
    func, coroutine = getattr(tool, "func", None), getattr(tool, "coroutine", None)
    sync_body = func or tool._run
    inherited = type(tool)._arun is BaseTool._arun  # which calls `_run` in a thread
    async_body = coroutine or func or (tool._run if inherited else tool._arun)
    return decorated(sync_body) is None, decorated(async_body) is None


def _argument_names(tool: BaseTool) -> list[str]:
    """The arguments that a model may fill, without those that LangChain injects."""
    schema = tool.args_schema and tool.tool_call_schema
    if schema is None or isinstance(schema, dict):
        return list(tool.args)
    return list(get_fields(schema))


def _injected(tool: BaseTool) -> frozenset[str]:
    """The arguments that LangChain fills itself. One that is missed is judged, and denied."""
    schema = tool.args_schema
    all_fields = get_fields(schema) if inspect.isclass(schema) else {}
    hidden = set(all_fields).difference(_argument_names(tool))
    keys: frozenset[str] = getattr(tool, "_injected_args_keys", frozenset())
    return frozenset(hidden) | keys


def _placed(tool: BaseTool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What is given by place, by name: a tool of one text gets it so."""
    names = [name for name in _argument_names(tool) if name not in kwargs]
    if len(args) > len(names):
        raise AccessDenied(f"`{tool.name}` got more than it has names for", code="invalid_argument")
    return dict(zip(names, args, strict=False))


def _judged(
    arguments: dict[str, Any], placed: dict[str, Any], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as they were judged, by place where they were given so."""
    by_place = tuple(arguments[name] for name in placed)
    return by_place, {name: arguments.get(name, value) for name, value in kwargs.items()}


def _left_at_default(
    tool: BaseTool, kwargs: dict[str, Any], given: frozenset[str]
) -> frozenset[str]:
    """The arguments that LangChain filled in because the model left them out.

    Only what is certainly so: a field with an alias may have been given under it, and a validator
    may have made a value of another argument.
    """
    schema = tool.args_schema
    if schema is None or isinstance(schema, dict):
        return frozenset()
    left = set()
    for name, field in get_fields(schema).items():
        alias = getattr(field, "validation_alias", None) or getattr(field, "alias", None)
        if name in given or name not in kwargs or alias not in (None, name):
            continue
        value, default = kwargs[name], getattr(field, "default", None)
        if type(value) is type(default) and value == default:
            left.add(name)
    return frozenset(left)
