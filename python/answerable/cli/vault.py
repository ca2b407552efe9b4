"""The vault: credentials that tools use. Secrets are read, never shown, and never an argument."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING, Any

from answerable.cli.run import BY, REASON, Argument, Run, UsageError, command

if TYPE_CHECKING:
    from answerable import _core

NAME = Argument("name", help="the credential's name")
VARIABLE = Argument(
    "--from-env",
    metavar="VARIABLE",
    help="read the secret from this variable; else it is asked for, or read from standard input",
)
EXPIRES = Argument("--expires", metavar="TIME", help="when it ends: 90d, or a moment")


@command("vault list", Argument("--removed", action="store_true", help="removed ones too"))
def vault_list(run: Run) -> None:
    """List the credentials, never their secrets."""
    found = run.engine.vault.list(removed=run.args.removed)
    columns = ["name", "version", "source", "for_tools", "owner", "expires"]
    rows = [facts(one) for one in found]
    run.out.table([{**row, "owner": name_of(run, row["owner"])} for row in rows], columns)


@command("vault history", NAME)
def vault_history(run: Run) -> None:
    """List the versions of a credential, oldest first."""
    found = run.engine.vault.history(run.args.name)
    rows = [{**one, "by": name_of(run, one["by"])} for one in found]
    run.out.table(rows, ["version", "at", "until", "by"])


@command(
    "vault put",
    NAME,
    Argument(
        "--for-tools",
        required=True,
        action="append",
        metavar="PATTERN",
        help="a tool, or a pattern such as pay.*, that may use it; may be repeated",
    ),
    Argument(
        "--for-agent",
        action="append",
        metavar="AGENT",
        help="an agent that may use it; may be repeated; all without it",
    ),
    Argument("--owner", metavar="HUMAN", help="who answers for it; whoever puts it without it"),
    EXPIRES,
    VARIABLE,
    BY,
)
def vault_put(run: Run) -> None:
    """Put a credential into the vault."""
    args = run.args
    made = run.engine.vault.put(
        args.name,
        secret(args.from_env),
        for_tools=args.for_tools,
        for_agents=args.for_agent,
        owner=args.owner,
        expires=args.expires,
        by=args.by,
    )
    run.done(f"{made.name} is in the vault as version {made.version}", facts(made))


@command(
    "vault rotate",
    NAME,
    Argument("--overlap", metavar="DURATION", help="for how long running calls keep the old one"),
    EXPIRES,
    VARIABLE,
    BY,
)
def vault_rotate(run: Run) -> None:
    """Replace a credential's secret."""
    args = run.args
    made = run.engine.vault.rotate(
        args.name,
        secret(args.from_env),
        overlap=args.overlap,
        expires=args.expires,
        by=args.by,
    )
    run.done(f"{made.name} is rotated to version {made.version}", facts(made))


@command("vault remove", NAME, REASON, BY)
def vault_remove(run: Run) -> None:
    """Remove a credential; its secrets are dropped, its name stays taken."""
    args = run.args
    run.engine.vault.remove(args.name, reason=args.reason, by=args.by)
    run.done(f"{args.name} is removed", {"name": args.name})


@command(
    "vault rewrap",
    Argument(
        "--to",
        choices=["file", "keyring", "env"],
        default="file",
        help="where the new master key is: made in the key file, the system's key ring, a variable",
    ),
    Argument("--variable", metavar="VARIABLE", help="the variable that holds it, for --to env"),
    REASON,
    BY,
)
def vault_rewrap(run: Run) -> None:
    """Replace the store's master key; the old one opens it no more."""
    args = run.args
    if (args.to == "env") != (args.variable is not None):
        raise UsageError("--to env and --variable go together")
    given = {"file": None, "keyring": "keyring"}.get(args.to)
    if args.to == "env":
        given = os.environ.get(args.variable)
        if given is None:
            raise UsageError("the variable that --variable names is not set")
    entry = run.engine.vault.rewrap(given, reason=args.reason, by=args.by)
    run.done("the master key is replaced", {"entry": entry, "key": args.to})


def name_of(run: Run, human: str) -> str:
    """What a human is called; the id where nobody is known by it."""
    known = {one.id: one.name or one.account for one in run.engine.humans.list()}
    return known.get(human, human)


def facts(one: _core.CredentialFacts) -> dict[str, Any]:
    """A credential as a row."""
    return {
        "name": one.name,
        "version": one.version,
        "source": one.provider or "stored",
        "for_tools": ", ".join(one.for_tools),
        "for_agents": one.for_agents,
        "owner": one.owner,
        "expires": one.expires,
        "removed": one.removed,
    }


def secret(variable: str | None) -> str:
    """The secret, from where it is not seen: no argument, for those stand in process lists."""
    if variable is not None:
        given = os.environ.get(variable)
        if given is None:
            raise UsageError("the variable that --from-env names is not set")
        return given
    if sys.stdin.isatty():
        return getpass.getpass("secret: ")
    # One line end at the end is the shell's, not the secret's.
    return sys.stdin.read(64 * 1024).removesuffix("\n")
