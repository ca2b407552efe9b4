"""docs/cli.md lists every command with every option, as the parser has them.

`python tests/python/test_cli_page.py` writes the table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from answerable import cli
from answerable.cli import parser
from answerable.cli.run import COMMANDS, Argument

PATH = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
TABLE = re.compile(r"(?<=<!-- commands -->\n).*?(?=<!-- /commands -->)", re.S)


def argument(one: Argument) -> str:
    """An argument as a usage line shows it."""
    name = next((name for name in one.names if name.startswith("--")), one.names[0])
    options = one.options
    flag = options.get("action") == "store_true"
    choices = options.get("choices")
    value = "|".join(choices) if choices else options.get("metavar", name.strip("-").upper())
    if not name.startswith("-"):
        text = "|".join(choices) if choices else name.upper()
        return f"[{text}]" if options.get("nargs") == "?" else text
    text = name if flag else f"{name} {value}"
    if not options.get("required"):
        return f"[{text}]"
    return f"{text}…" if options.get("action") == "append" else text


def table() -> str:
    parser.build()
    lines = ["| command | what it does |", "|---|---|"]
    for words, made in COMMANDS.items():
        usage = " ".join([*words, *map(argument, made.arguments)]).replace("|", "\\|")
        lines.append(f"| `{usage}` | {made.help[0].lower()}{made.help[1:]} |")
    return "\n".join(lines) + "\n"


def test_the_page_lists_every_command() -> None:
    match = TABLE.search(PATH.read_text("utf-8"))
    assert match is not None
    assert match[0] == table()


def test_the_page_explains_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \|", PATH.read_text("utf-8"), re.M)
    codes = (cli.OK, cli.FOUND, cli.USAGE, cli.STORE, cli.UNEXPECTED, cli.INTERRUPTED)
    assert [int(row) for row in rows] == [*codes, cli.BROKEN_PIPE]


if __name__ == "__main__":
    PATH.write_text(TABLE.sub(lambda _: table(), PATH.read_text("utf-8")), encoding="utf-8")
