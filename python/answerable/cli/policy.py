"""Policies: loaded, shown, checked, tested, tried on what was decided before."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from answerable.cli.run import BY, Argument, Run, UsageError, command
from answerable.cli.trail import entry_of

if TYPE_CHECKING:
    from answerable import _core

FOLDER = Argument("folder", help="a folder of .cedar files, with entities as .json beside them")
TOOLS = Argument(
    "--tools",
    action="append",
    metavar="MODULE",
    default=[],
    help="a Python module that declares tools with @ans.tool; may be repeated. It is imported: its "
    "code runs, from this folder, as this account. Without it the tools are those that the store "
    "has seen",
)
SEVERITIES = ("info", "low", "medium", "high")


@command("policy load", FOLDER, TOOLS, BY)
def load(run: Run) -> None:
    """Load a folder of policies, all or nothing; from then on what they do not permit is denied."""
    import_tools(run.args.tools)
    made = run.engine.policies.load(run.args.folder, by=run.args.by)
    compiled, total = made.coverage
    run.done(
        f"{len(made.policies)} policies are in force as {made.version}; "
        f"{compiled} of {total} conditions are compiled",
        {
            "version": made.version,
            "policies": len(made.policies),
            "compiled": compiled,
            "conditions": total,
        },
    )


@command(
    "policy show",
    Argument(
        "version", nargs="?", help="a version that was loaded before; without it, the one now"
    ),
    Argument("--text", action="store_true", help="the policies themselves"),
)
def show(run: Run) -> None:
    """Show the policies in force, or those of an older version."""
    policies = run.engine.policies
    if run.args.version is None and policies.version == "none":
        none = {"version": "none", "policies": 0}
        run.done("no policies were ever loaded: scopes alone decide", none)
        return
    made = policies.read(version=run.args.version)
    if run.args.text and not run.out.json:
        for policy in made.policies:
            run.out.text(f"// {policy.source}:{policy.line}")
            run.out.block(policy.text)
            run.out.line()
        return
    run.out.note(f"version {made.version}")
    rows = [
        {
            "id": policy.id,
            "effect": policy.effect,
            "at": f"{policy.source}:{policy.line}",
            **({"text": policy.text} if run.args.text else {}),
            "advice": policy.annotations.get("advice"),
            "reason": policy.annotations.get("reason"),
            "version": made.version,
        }
        for policy in made.policies
    ]
    run.out.table(rows, ["id", "effect", "advice", "at", "reason"])


@command(
    "policy check",
    Argument("folder", nargs="?", help="a folder of policies; without it, those in force"),
    TOOLS,
    Argument(
        "--fail-on",
        choices=SEVERITIES,
        default="medium",
        help="the least severity that answers exit code 1 (medium)",
    ),
)
def check(run: Run) -> int:
    """Look for what policies should not say: unreachable, too wide, able to err."""
    import_tools(run.args.tools)
    if run.args.folder is not None and not has_store(run):
        findings = read(run).check()
    else:
        findings = run.engine.policies.check(run.args.folder)
    rows = [
        {
            "severity": one.severity,
            "code": one.code,
            "at": f"{one.source}:{one.line}" if one.line else one.source,
            "policy": one.policy,
            "message": one.message,
            "fix": one.fix,
        }
        for one in findings
    ]
    if run.out.json:
        run.out.table(rows, [])
    for row in [] if run.out.json else rows:
        colour = {"high": "31", "medium": "33"}.get(str(row["severity"]), "")
        run.out.text(
            f"{row['at']}: {row['severity']}: {row['message']} [{row['code']}]", colour=colour
        )
        run.out.text(f"    fix: {row['fix']}")
    worst = SEVERITIES.index(run.args.fail_on)
    found = [one for one in findings if SEVERITIES.index(one.severity) >= worst]
    if not findings:
        run.out.note("nothing to find fault with")
    return 1 if found else 0


@command(
    "policy test",
    FOLDER,
    TOOLS,
    Argument("--cases", metavar="PATH", help="a case file or a folder of them (the folder itself)"),
)
def test(run: Run) -> int:
    """Run the cases beside policies: each states a request and what must come of it."""
    from answerable.cases import run_cases

    import_tools(run.args.tools)
    policies = read(run)
    failed = ran = 0
    for result in run_cases(policies, run.args.cases or run.args.folder):
        ran += 1
        failed += not result.ok
        if run.out.json:
            run.out.document(result_record(result))
        elif not result.ok:
            run.out.block(str(result))
    run.out.note(f"{ran - failed} of {ran} cases came as expected")
    return 1 if failed else 0


@command(
    "policy replay",
    FOLDER,
    TOOLS,
    Argument("--since", metavar="WHEN", help="7d, an instant or an entry's id"),
    Argument("--until", metavar="WHEN", help="as --since"),
)
def replay(run: Run) -> int:
    """Judge the calls of the past again under other policies; show what would have changed."""
    import_tools(run.args.tools)
    made = run.engine.policies.replay(run.args.folder, since=run.args.since, until=run.args.until)
    rows = [
        {
            "time": one.at,
            "was": one.before,
            "would be": one.after,
            "tool": one.tool,
            "agent": one.agent,
            "policies": one.policies,
            "why": one.why,
            "entry": one.entry,
        }
        for one in [*made.changes, *made.undecided]
    ]
    run.out.table(rows, ["time", "was", "would be", "tool", "agent", "why", "entry"])
    counts = {
        "version": made.version,
        "examined": made.examined,
        "same": made.same,
        "changes": len(made.changes),
        "undecided": len(made.undecided),
    }
    if run.out.json:
        run.out.document(counts)
    run.out.note(
        f"{made.examined} decisions: {made.same} stay, {len(made.changes)} change, "
        f"{len(made.undecided)} cannot be told"
    )
    return 1 if made.changes or made.undecided else 0


@command("policy explain", Argument("entry", help="a decision's entry: its id or its place"))
def explain(run: Run) -> None:
    """Say which policies decided a call, which nearly did, and the smallest change that would."""
    told = run.engine.explain(run.engine.trail.get(entry_of(run.args.entry)))
    if not run.out.json:
        run.out.block(told.for_operator)
        return
    parts = ("text", "line", "column", "outcome", "values")
    run.out.document(
        {
            "entry": told.entry,
            "effect": told.effect,
            "code": told.code,
            "changes": list(told.changes),
            "policies": [
                {
                    **{word: getattr(one, word) for word in ("id", "role", "effect", "reason")},
                    "at": f"{one.source}:{one.line}",
                    "scope": one.scope,
                    "parts": [dict(zip(parts, part, strict=True)) for part in one.parts],
                }
                for one in told.policies
            ],
        }
    )


def import_tools(modules: list[str]) -> None:
    """Imports the modules that declare tools, as Python would from the folder one stands in."""
    here = str(Path.cwd())
    for name in modules:
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            importlib.import_module(name)
        except Exception as error:  # What a module raises is its own.
            why = f"{type(error).__name__}: {error}"[:300]
            raise UsageError(f"the module `{name}` cannot be imported: {why}") from error


def has_store(run: Run) -> bool:
    """Whether there is a store to ask for the tools that it has seen."""
    return (run.store / "FORMAT").exists()


def read(run: Run) -> _core.PolicySet:
    """The policies of a folder, held to the tools that are known here."""
    from answerable import _core

    if has_store(run):
        return run.engine.policies.read(Path(run.args.folder))
    return _core.PolicySet.read(Path(run.args.folder))


def result_record(result: Any) -> dict[str, Any]:
    """A case's facts."""
    return {
        "ok": result.ok,
        "name": result.case.name,
        "source": result.case.source,
        "effect": result.answer.effect,
        "differences": list(result.differences),
    }
