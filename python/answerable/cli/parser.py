"""The parser, built from the declared commands."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, NoReturn

from answerable.cli.run import COMMANDS, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GROUPS", "build", "parse"]

# The first words that others follow, in the order of the help.
GROUPS = {
    "humans": "the people who are accountable",
    "agents": "the software that acts for them",
    "grants": "who may do what, for which task, until when",
    "tasks": "what grants were made for",
    "keys": "the authority's own keys",
    "approvals": "what agents ask, and a human's answers",
    "policy": "the organisation's rules beside the grants",
    "witness": "an outside co-signer of checkpoints",
    "vault": "the credentials that tools use",
    "rules": "what is done by itself when a review finds something",
    "trail": "the record: show, tell, verify, export",
}

# What declares commands, in the order of the help; each imports what it needs only when one runs.
MODULES = (
    "about",
    "demo",
    "simulate",
    "people",
    "life",
    "approvals",
    "policy",
    "vault",
    "watching",
    "trail",
    "report",
    "evidence",
    "doctor",
    "completion",
)

EPILOG = """\
exit codes: 0 done; 1 something wrong was found; 2 the command line; 3 the store; docs/cli.md has
them all. ANSWERABLE_STORE names the store, NO_COLOR turns colours off."""


class Parser(argparse.ArgumentParser):
    """A parser that raises where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        """What argparse calls for a command line that it cannot read."""
        raise UsageError(message, f"see `{self.prog} --help`")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Reads a command line.

    Raises:
        UsageError: It means nothing.
    """
    return build().parse_args(argv)


def build() -> Parser:
    """The whole parser."""
    for module in MODULES:
        importlib.import_module(f"answerable.cli.{module}")

    parser = Parser(
        prog="answerable",
        description="Makes every action of an AI agent answerable to a human.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    parser.set_defaults(store=None, json=False, utc=False)
    _common(parser)
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    groups: dict[str, argparse._SubParsersAction[Parser]] = {}
    for words, made in COMMANDS.items():
        parent = below
        if len(words) == 2:
            parent = groups.get(words[0]) or _group(below, words[0])
            groups[words[0]] = parent
        own = parent.add_parser(
            words[-1], help=_phrase(made.help), description=f"{made.help}.", allow_abbrev=False
        )
        for argument in made.arguments:
            own.add_argument(*argument.names, **argument.options)
        _common(own)
        own.set_defaults(function=made.function)
    return parser


def _group(
    below: argparse._SubParsersAction[Parser], word: str
) -> argparse._SubParsersAction[Parser]:
    group = below.add_parser(
        word, help=GROUPS[word], description=f"{_sentence(GROUPS[word])}.", allow_abbrev=False
    )
    return group.add_subparsers(metavar="COMMAND", required=True)


def _common(parser: argparse.ArgumentParser) -> None:
    """What every command understands, before or after its words."""
    absent = argparse.SUPPRESS  # The defaults stand in the root, or the inner would overwrite it.
    options = parser.add_argument_group("everywhere")
    options.add_argument(
        "--store", metavar="PATH", default=absent, help="the store's folder (./governance)"
    )
    options.add_argument("--json", action="store_true", default=absent, help="for programs")
    options.add_argument("--utc", action="store_true", default=absent, help="times in UTC")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _phrase(text: str) -> str:
    return text[:1].lower() + text[1:]


class Version(argparse.Action):
    """Shows the version, of the binary and thereby of the Python files beside it."""

    def __call__(self, *_: object) -> NoReturn:
        """What argparse calls."""
        from answerable import __version__

        print(f"answerable {__version__}")
        raise SystemExit(0)
