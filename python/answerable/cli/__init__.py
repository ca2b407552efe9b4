"""The command line: `answerable`, or `python -m answerable`.

Each command is a function in one of the modules here, declared with `@command`. It gets a `Run`:
its arguments, the engine (opened at first use, closed at the end) and the output.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from answerable._core import shown
from answerable.errors import Error, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# What a command answers; docs/cli.md explains each.
OK, FOUND, USAGE, STORE, UNEXPECTED, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 70, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and answers its exit code. Nothing but a code comes out of it.

    Args:
        argv: The arguments without the program's name; those of the process without it.
    """
    from answerable.cli import parser
    from answerable.cli.run import Run, UsageError

    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its escape, not an error.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        args = parser.parse(sys.argv[1:] if argv is None else argv)
        with Run(args) as run:
            return args.function(run) or OK
    except SystemExit as done:  # After `--help` and `--version`.
        return int(done.code or OK)
    except UsageError as error:
        return complain(str(error), error.hint, USAGE)
    except StoreError as error:
        return complain(str(error), error.hint, STORE)
    except Error as error:
        return complain(str(error), error.hint, _code_of(error))
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain again at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        name = f"{error.filename}: " if error.filename is not None else ""
        return complain(f"{name}{error.strerror or error}", "", USAGE)
    except UnicodeError:
        return complain("an argument is not valid UTF-8", "", USAGE)
    except Exception as error:  # noqa: BLE001 - the last resort: a message, never a traceback.
        hint = "set ANSWERABLE_DEBUG=1 to see where, and report it"
        return complain(f"unexpected {type(error).__name__}: {error}", hint, UNEXPECTED)


def complain(message: str, hint: str, code: int) -> int:
    """Says what went wrong on the standard error stream; with ANSWERABLE_DEBUG, raises on."""
    if os.environ.get("ANSWERABLE_DEBUG") and sys.exc_info()[0] is not None:
        raise
    print(f"answerable: {shown(message, 2000)}", file=sys.stderr)
    if hint:
        print(f"hint: {shown(hint, 1000)}", file=sys.stderr)
    return code


def _code_of(error: Error) -> int:
    from answerable.errors import InvalidInput, NotFound

    if error.code == "key":
        return STORE  # The store's key is missing, wrong or readable by others.
    return USAGE if isinstance(error, InvalidInput | NotFound) else FOUND
