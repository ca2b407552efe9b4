"""Removes each check that an attempt names, and sees the attempt succeed.

Each attempt holds `REMOVED`: what to put in the place of the checks that stand in its way, as
(file, expression, other expression). The expression stands once in its file; where it would not,
`«` and `»` mark it in text that does. More than one means that a second check would still refuse.
`LEFT` names what refuses the attempt all the same, behind the checks removed: a library's own, or
one that comes after more work than the attempt should have cost; `held` where it says the same.

A copy of the tree is made in which each such place asks the environment which of the two it is, so
that one build serves all. Nothing of that is in the product.

    python tests/attacks/remove_checks.py            # all: one build, then two runs of all attempts
    python tests/attacks/remove_checks.py hop limit  # attempts with these words in their names
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VARIABLE = "ANSWERABLE_REMOVED"
PLAN = "ANSWERABLE_REMOVAL_PLAN"
Patch = tuple[str, str, str]

SWITCH = f"""
/// Whether a check is removed in this run: in the scratch copy of `remove_checks.py` only.
pub fn removed(number: &str) -> bool {{
    std::env::var("{VARIABLE}").is_ok_and(|all| all.split(',').any(|one| one == number))
}}
"""


def attempts() -> list[Path]:
    found = set(HERE.glob("test_*.py")) - {HERE / "test_the_attempts.py"}
    return sorted(found)


def constant(attempt: Path, name: str) -> object:
    """What an attempt assigns to a name, read without running it."""
    for node in ast.parse(attempt.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return ast.literal_eval(node.value)
    return None


def patches(attempt: Path) -> list[Patch]:
    return constant(attempt, "REMOVED") or []  # type: ignore[return-value]


def place(text: str, source: str) -> tuple[int, int]:
    """Where the marked expression stands."""
    whole = source.replace("«", "").replace("»", "")
    if text.count(whole) != 1:
        raise ValueError(f"stands {text.count(whole)} times, expected once: {whole!r}")
    start = text.index(whole)
    if "«" not in source:
        return start, start + len(whole)
    first = source.index("«")
    return start + first, start + source.index("»") - 1


def switched(path: str, source: str, others: list[tuple[int, str]]) -> str:
    """An expression that is one of several, as the environment says."""
    if path.endswith(".py"):
        out = source
        for number, other in others:
            asked = f"'{number}' in __import__('os').environ.get('{VARIABLE}', '').split(',')"
            out = f"(({other}) if {asked} else ({out}))"
        return out
    arms = [f'if crate::removed("{number}") {{ {other} }} else ' for number, other in others]
    return "({" + "".join(arms) + f"{{ {source} }}" + "})"


def apply(tree: Path, numbers: dict[Patch, int]) -> None:
    """Puts the switches into a tree."""
    for path in sorted({path for path, _, _ in numbers}):
        text = (tree / path).read_text("utf-8")
        spots: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for (own, source, other), number in numbers.items():
            if own == path:
                spots.setdefault(place(text, source), []).append((number, other))
        # From the end on, so that what comes before keeps its place.
        for (start, end), others in sorted(spots.items(), reverse=True):
            text = text[:start] + switched(path, text[start:end], others) + text[end:]
        (tree / path).write_text(text, "utf-8")
    library = tree / "src/lib.rs"
    library.write_text(library.read_text("utf-8") + SWITCH, "utf-8")


def copy(tree: Path) -> None:
    if tree.exists():
        for old in ("src", "python", "tests"):
            shutil.rmtree(tree / old, ignore_errors=True)
    tree.mkdir(parents=True, exist_ok=True)
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    for name in ("src", "python", "tests/attacks", "benches", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignored, dirs_exist_ok=True)
    for name in ("Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "tests/conftest.py"):
        shutil.copy2(ROOT / name, tree / name)
    (tree / "tests/rust").mkdir(parents=True, exist_ok=True)
    for test in (ROOT / "tests/rust").glob("*.rs"):
        (tree / "tests/rust" / test.name).touch()  # The manifest names them.


def build(tree: Path) -> None:
    # The tree's own dependencies are those that are built already; as maturin builds.
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(ROOT / "target"),
        "PYO3_BUILD_EXTENSION_MODULE": "1",
        "PYO3_PYTHON": sys.executable,
    }
    command = ["cargo", "build", "--locked", "--lib", "--features", "python"]
    subprocess.run(command, cwd=tree, env=environment, check=True)
    built = ROOT / "target/debug/libanswerable.so"
    shutil.copy2(built, tree / "python/answerable/_core.abi3.so")


def run(tree: Path, plan: dict[str, list[int]]) -> dict[str, str]:
    """Runs attempts in one process, each without its checks; answers what each said, `` if it held.

    One that does not end takes what comes after it along: it is then named as what said nothing.
    """
    told = tree / "told.json"
    told.unlink(missing_ok=True)
    tests = [str(tree / "tests/attacks" / f"{name}.py") for name in plan]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tree / "python"), str(tree / "tests/attacks")]),
        PLAN: json.dumps({"plan": plan, "told": str(told)}),
    }
    options = ["-q", "-p", "no:cacheprovider", "-p", "remove_checks"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=900, check=False
        )
    said = [json.loads(line) for line in told.read_text("utf-8").splitlines()]
    return {name: "".join(text for own, text in said if own == name) for name, _ in said}


# As a plugin of that process: the environment is set before each attempt, fixtures included.


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if PLAN in os.environ:
        numbers = json.loads(os.environ[PLAN])["plan"][item.path.stem]
        os.environ[VARIABLE] = ",".join(map(str, numbers))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if PLAN in os.environ and (report.failed or report.when == "call"):
        name = Path(report.nodeid.split("::")[0]).stem
        with Path(json.loads(os.environ[PLAN])["told"]).open("a", encoding="utf-8") as told:
            told.write(json.dumps([name, report.longreprtext if report.failed else ""]) + "\n")


def verdict(told: str | None) -> str:
    """How an attempt ended: `held`, `succeeded`, or what refused it instead."""
    if not told:
        return "nothing was said" if told is None else "held"
    other = re.search(
        r"StillRefused: \[?(\w+)|assert '(\w+)' ==|^E +answerable\.\w+\.(\w+)", told, re.M
    )
    if other:
        return next(filter(None, other.groups()))
    if "DID NOT RAISE" in told or re.search(
        r"^E +(assert|AssertionError|Failed|KeyError: 'error')", told, re.M
    ):
        return "succeeded"
    return "error: " + (re.findall(r"^E +(.+)", told, re.M) or ["nothing was said"])[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only attempts with one of these in their names")
    parser.add_argument(
        "--tree", type=Path, default=ROOT / "target/removed", help="the copy's folder"
    )
    parser.add_argument("--built", action="store_true", help="the copy is there, and built")
    parser.add_argument("--quick", action="store_true", help="do not show that each held before")
    args = parser.parse_args()
    chosen = attempts()
    if args.words:
        chosen = [one for one in chosen if any(word in one.stem for word in args.words)]
    every = sorted({tuple(patch) for attempt in attempts() for patch in patches(attempt)})
    numbers: dict[Patch, int] = {patch: number for number, patch in enumerate(every)}
    if not args.built:
        copy(args.tree)
        apply(args.tree, numbers)
        build(args.tree)
    plan = {one.stem: [numbers[tuple(patch)] for patch in patches(one)] for one in chosen}
    before = {} if args.quick else run(args.tree, {name: [] for name in plan})
    after = run(args.tree, plan)
    wrong = 0
    for attempt in chosen:
        name, count = attempt.stem, len(plan[attempt.stem])
        first = "held" if args.quick else verdict(before.get(name))
        second = verdict(after.get(name)) if count else "names nothing to remove"
        good = first == "held" and second == (constant(attempt, "LEFT") or "succeeded")
        wrong += not good
        print(f"{'ok   ' if good else 'WRONG'} {name[5:]}: {first}; without {count}: {second}")  # noqa: T201
    print(f"{len(chosen)} attempts, {len(every)} checks, {wrong} not as named")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
