"""Cases for policies: requests in a plain file, each with what must come of it.

A case file is TOML. `[defaults]` holds what its cases share; each `[[case]]` states a request and
the effect it must meet, and may state more of the answer:

    [defaults]
    human = { account = "alice@example.com", assurance = "oidc", groups = ["finance"] }
    agent = "booker"

    [[case]]
    name = "a large transfer is refused"
    tool = "pay.transfer"
    resource = "account/travel-1"
    arguments = { account = "travel-1", amount = 5000.0 }
    effect = "deny"
    reason = "forbidden"          # the code that decides
    says = "above 1,000"          # a part of the sentence that the caller sees
    policies = ["large-transfers"]  # the ids that decide, all of them

A word that means nothing here is refused, so that a mistyped expectation cannot pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from answerable.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from answerable import _core

__all__ = ["PolicyCase", "PolicyResult", "find_cases", "read_cases", "run_cases"]

REQUEST = (
    "tool",
    "resource",
    "arguments",
    "human",
    "agent",
    "chain",
    "task",
    "time",
    "host",
    "own",
    "approved",
)
EXPECTED = ("effect", "reason", "says", "policies", "errors", "masks")
EFFECTS = ("allow", "deny", "ask")
MAX_BYTES = 8 * 1024 * 1024  # Of one case file.


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """One case of a file.

    Attributes:
        name: What it says, in a sentence.
        source: The file, and which case of it, as in `cases.toml[3]`.
        request: What is asked: tool, resource, arguments, human, agent, chain, task, time, host,
            own, approved.
        expected: What must come of it: effect, and more of the answer where stated.
    """

    name: str
    source: str
    request: Mapping[str, Any]
    expected: Mapping[str, Any]

    def run(self, policies: _core.PolicySet) -> PolicyResult:
        """Judges the request and compares."""
        answer = policies.judge(**self.request)
        return PolicyResult(self, answer, tuple(_differences(self.expected, answer)))


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What came of a case.

    Attributes:
        case: The case.
        answer: What the policies answered.
        differences: In what that differs from what was expected; empty where it does not.
    """

    case: PolicyCase
    answer: _core.PolicyAnswer
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether it came as expected."""
        return not self.differences

    def __str__(self) -> str:
        lines = [f"{'ok' if self.ok else 'FAILED'}  {self.case.name} ({self.case.source})"]
        lines += [f"        {difference}" for difference in self.differences]
        if not self.ok:
            lines += [f"        {reason.code}: {reason.message}" for reason in self.answer.reasons]
        return "\n".join(lines)


def find_cases(path: str | Path) -> list[Path]:
    """The case files of a folder, `*.toml`, in the order of their names; or the file itself."""
    path = Path(path)
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*.toml") if not file.name.startswith("."))


def read_cases(path: str | Path) -> list[PolicyCase]:
    """Reads a case file.

    Raises:
        InvalidInput: It is no TOML, holds no case, or a word that means nothing here.
    """
    import tomllib

    path = Path(path)
    try:
        # What is no file, a pipe for one, is not waited for.
        text = _text(path) if path.is_file() else None
        read = None if text is None else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        why = "it nests too deep" if isinstance(error, RecursionError) else error
        raise InvalidInput(
            f"`{path}` is not a case file: {why}",
            hint="write TOML in UTF-8: [defaults] and [[case]], as docs/policies.md shows",
        ) from error
    if read is None:
        raise InvalidInput(f"`{path}` is not there, or no file", hint="name a file of cases")
    defaults, cases = read.pop("defaults", {}), read.pop("case", [])
    tables = isinstance(cases, list) and all(isinstance(case, dict) for case in cases)
    if read or not isinstance(defaults, dict) or not tables:
        wrong = sorted(read) or ["what is no table"]
        raise InvalidInput(
            f"`{path}` is not a case file: it holds `{wrong[0][:100]}`",
            hint="a case file has [defaults] and [[case]]",
        )
    if not cases:
        raise InvalidInput(
            f"`{path}` holds no case", hint="write [[case]] with a tool and an effect"
        )
    return [_case(path, place, {**defaults, **case}) for place, case in enumerate(cases, 1)]


def _text(path: Path) -> str:
    with path.open("rb") as file:
        read = file.read(MAX_BYTES + 1)
    if len(read) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    return read.decode()


def run_cases(policies: _core.PolicySet, path: str | Path) -> Iterator[PolicyResult]:
    """Runs every case of a file, or of the case files in a folder.

    Raises:
        InvalidInput: There is no case, or one that cannot be read.
    """
    files = find_cases(path)
    if not files:
        raise InvalidInput(
            f"there is no case file in `{path}`", hint="write one named `cases.toml`"
        )
    for file in files:
        for case in read_cases(file):
            yield case.run(policies)


def _case(path: Path, place: int, stated: dict[str, Any]) -> PolicyCase:
    source = f"{path.name}[{place}]"
    name = stated.pop("name", None)
    unknown = [word for word in stated if word not in REQUEST and word not in EXPECTED]
    if unknown:
        raise InvalidInput(
            f"{source}: `{unknown[0][:100]}` means nothing in a case",
            hint=f"a case states {', '.join(('name', *REQUEST, *EXPECTED))}",
        )
    effect = stated.get("effect")
    if effect not in EFFECTS:
        raise InvalidInput(
            f"{source}: there is no such effect: {str(effect)[:100]!r}",
            hint="write allow, deny or ask",
        )
    if not isinstance(stated.get("tool"), str):
        raise InvalidInput(f"{source}: it names no tool", hint='write tool = "pay.transfer"')
    for word in ("policies", "errors", "masks"):
        if not _is_names(stated.get(word, [])):
            raise InvalidInput(f"{source}: {word} is a list of texts", hint='write ["small"]')
    for word in ("reason", "says"):
        if not isinstance(stated.get(word, ""), str):
            raise InvalidInput(f"{source}: {word} is text", hint="write it in quotes")
    if effect == "allow" and ("reason" in stated or "says" in stated):
        raise InvalidInput(
            f"{source}: an allow has no reason to expect", hint="leave out reason and says"
        )
    return PolicyCase(
        name=str(name or f"{effect} {stated['tool']}"),
        source=source,
        request={word: stated[word] for word in REQUEST if word in stated},
        expected={word: stated[word] for word in EXPECTED if word in stated},
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _differences(expected: Mapping[str, Any], answer: _core.PolicyAnswer) -> Iterator[str]:
    first = answer.reasons[0] if answer.reasons else None
    if answer.effect != expected["effect"]:
        yield f"expected {expected['effect']}, got {answer.effect}"
    if "reason" in expected and (first is None or first.code != expected["reason"]):
        yield f"expected the reason {expected['reason']}, got {first.code if first else 'none'}"
    if "says" in expected and (first is None or expected["says"] not in first.message):
        yield f"expected words with `{expected['says']}`, got `{first.message if first else ''}`"
    for word, got in (
        ("policies", answer.policies),
        ("errors", answer.errors),
        ("masks", answer.masks),
    ):
        if word in expected and sorted(expected[word]) != sorted(got):
            yield f"expected {word} {sorted(expected[word])}, got {sorted(got)}"
