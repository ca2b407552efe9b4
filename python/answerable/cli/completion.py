"""Completion scripts, made from the parser."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from answerable.cli.run import Argument, Run, command

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")

BASH = """\
_answerable() {
    local cur=${COMP_WORDS[COMP_CWORD]} words=() word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == -* ]] || words+=("$word")
    done
    case "${words[*]}" in
%(cases)s
    esac
}
complete -o default -F _answerable answerable
"""


@command(
    "completion",
    Argument("shell", choices=SHELLS, help="the shell"),
)
def completion(run: Run) -> None:
    """Print a completion script, as for: source <(answerable completion bash)."""
    script = {"bash": bash, "zsh": zsh, "fish": fish}[run.args.shell]()
    if run.out.json:
        run.out.document({"shell": run.args.shell, "script": script})
    else:
        run.out.line(script)


def bash() -> str:
    """For bash: by the words before the cursor, the deepest first."""
    cases = [
        f"        '{' '.join(words)}'{'*' if words else ''})\n"
        f'            mapfile -t COMPREPLY < <(compgen -W "{" ".join(offers)}" -- "$cur") ;;'
        for words, offers in sorted(_tree(), key=lambda item: -len(item[0]))
    ]
    return BASH % {"cases": "\n".join(cases)}


def zsh() -> str:
    """For zsh, which runs bash's."""
    functions = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
    # zsh has no mapfile.
    body = bash().replace("mapfile -t COMPREPLY < <(compgen", "COMPREPLY=($(compgen")
    return functions + body.replace('-- "$cur") ;;', '-- "$cur")) ;;')


def fish() -> str:
    """For fish."""
    lines = ["complete -c answerable -f"]
    for words, offers in _tree():
        seen = " ; and ".join(f"__fish_seen_subcommand_from {word}" for word in words)
        when = seen or "__fish_use_subcommand"
        for offer in offers:
            kind = f"-l {offer[2:]}" if offer.startswith("--") else f"-a {offer}"
            if not offer.startswith("-") or offer.startswith("--"):
                lines.append(f"complete -c answerable -n '{when}' {kind}")
    return "\n".join(lines) + "\n"


def _tree() -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Each command's words, and what may follow them."""
    from answerable.cli.parser import build

    def walk(
        parser: argparse.ArgumentParser, words: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], list[str]]]:
        offers: list[str] = []
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                offers += action.choices
                for word, inner in action.choices.items():
                    yield from walk(inner, (*words, word))
            else:
                offers += action.option_strings or map(str, action.choices or ())
        yield words, offers

    yield from walk(build(), ())
