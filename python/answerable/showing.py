"""What notebooks show: values of the trail as HTML that is safe, offline, and light or dark.

Entries hold text that attackers wrote. All of it goes through `safe`: control, format and
bidirectional characters are escaped as everywhere, long text is cut, and what HTML reads is
escaped. Nothing here loads anything; without the style sheet, which a front end may strip, tables
stay tables.
"""

from __future__ import annotations

import html as _html
import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from answerable._core import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "STYLE",
    "bundle",
    "csv",
    "facts",
    "html",
    "mark",
    "page",
    "parts",
    "safe",
    "table",
    "text_of",
]

ROWS = 20  # How many rows of a sequence a notebook shows.
CELL = 200  # The most characters of a table's cell.
TEXT = 2_000  # The most characters of one value that is shown by itself.
SHEET_CELL = 32_000  # What a spreadsheet takes in a cell.

# The front end's own colours where it has them (JupyterLab, VS Code), else by the user's scheme.
_LIGHT = "--ink:#1c2126;--soft:#5d6770;--line:#d5dade;--raised:#f3f5f7;--ground:#fff;"
_LIGHT += "--yes:#2f7d51;--no:#c0362c;--asked:#96610a;--mark:#3566a8"
_DARK = "--ink:#e4e8eb;--soft:#a3adb5;--line:#41494f;--raised:#262c31;--ground:#15191c;"
_DARK += "--yes:#6cc492;--no:#f28b80;--asked:#e0b050;--mark:#8ab4f0"
STYLE = f"""
.answerable{{{_LIGHT};color:var(--ink);font:13px/1.45 system-ui,sans-serif;overflow-x:auto}}
@media(prefers-color-scheme:dark){{.answerable{{{_DARK}}}}}
[data-jp-theme-light="true"] .answerable,.vscode-light .answerable{{{_LIGHT}}}
[data-jp-theme-light="false"] .answerable,.vscode-dark .answerable{{{_DARK}}}
.answerable p{{margin:.2em 0 .5em}}
.answerable.answerable table{{border-collapse:collapse;margin:.2em 0 .6em;color:inherit;
font-size:inherit;table-layout:auto}}
.answerable.answerable tr{{background:none}}
.answerable.answerable th,.answerable.answerable td{{text-align:left;vertical-align:top;
padding:.15em .9em .15em 0;border:0;border-bottom:1px solid var(--line);background:none;
max-width:44em;overflow-wrap:break-word;white-space:normal;color:inherit;font-size:inherit}}
.answerable.answerable th{{font-weight:600;color:var(--soft)}}
.answerable.answerable .number{{text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}}
.answerable.answerable .short{{white-space:nowrap}}
.answerable.answerable .time{{min-width:6em}}
.answerable .id,.answerable code{{font-family:ui-monospace,monospace;font-size:.92em;
color:inherit;background:none}}
.answerable pre{{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--raised);
color:inherit;padding:.6em;margin:.3em 0;font:12px/1.45 ui-monospace,monospace}}
.answerable .soft{{color:var(--soft)}}
.answerable .allow,.answerable .active,.answerable .returned{{color:var(--yes)}}
.answerable .deny,.answerable .retired,.answerable .high,.answerable .raised{{color:var(--no)}}
.answerable .ask,.answerable .suspended,.answerable .medium{{color:var(--asked)}}
.answerable details{{margin:.3em 0}}.answerable summary{{cursor:pointer}}
.answerable .drawn{{display:block!important}}.answerable .untrusted{{display:none}}
.answerable svg{{max-width:100%;height:auto;color:var(--ink);display:block}}
"""
_CROWDED = 8
# Words that carry a colour of their own; the word itself says the same.
_MARKED = {
    *("allow", "deny", "ask", "active", "suspended", "retired"),
    *("returned", "raised", "low", "medium", "high"),
}


def safe(text: object, most: int = CELL) -> str:
    """Foreign text, harmless in HTML, in an element as in a quoted attribute."""
    return _html.escape(shown(str(text), most), quote=True)


def text_of(value: Any, most: int = CELL) -> str:
    """A cell's value in words; times in UTC, to the second."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        case timedelta():
            return _span(value.total_seconds())
        case float():
            return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        case int():
            return f"{value:,}"
        case list() | tuple():
            return ", ".join(text_of(one, most) for one in value)
    return shown(str(value), most)


def mark(text: str) -> str:
    """A word of state in its colour, other text as it is: both safe."""
    return f'<span class="{text}">{text}</span>' if text in _MARKED else safe(text)


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Labelled lines; the values are HTML already."""
    lines = "".join(f"<tr><th>{safe(label)}</th><td>{value}</td></tr>" for label, value in rows)
    return f"<table>{lines}</table>"


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A table of values, each made safe; numbers stand to the right."""
    rows = list(rows)
    right = {name for name in columns if any(_is_number(row.get(name)) for row in rows)}
    number = ' class="number"'
    # Among many columns a time may take two lines, so that the words beside it have room.
    crowded = len(columns) > _CROWDED

    def cell(name: str, value: Any) -> str:
        kind = number if name in right else ""
        if isinstance(value, datetime):
            kind = ' class="time"' if crowded else ' class="short"'
        text = text_of(value)
        return f"<td{kind}>{mark(text) if text in _MARKED else _html.escape(text)}</td>"

    head = "".join(
        f"<th{number if name in right else ''}>{safe(name.replace('_', ' '))}</th>"
        for name in columns
    )
    body = "".join(
        f"<tr>{''.join(cell(name, row.get(name)) for name in columns)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def whole(pieces: Iterable[str]) -> str:
    """Parts as what a notebook shows: with the style sheet, under one class."""
    return f'<div class="answerable"><style>{STYLE}</style>{"".join(pieces)}</div>'


def page(title: str, pieces: Iterable[str]) -> str:
    """Parts as a page that loads nothing, by its own rule, and prints well."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{safe(title)}</title><style>{STYLE}{_PAGE}</style></head>",
            f'<body><main class="answerable">{"".join(pieces)}</main></body></html>\n',
        ]
    )


_PAGE = f"""
html{{{_LIGHT};background:var(--ground)}}
@media(prefers-color-scheme:dark){{html{{{_DARK};background:var(--ground)}}}}
body{{margin:2em auto;max-width:76em;padding:0 1.2em}}
.answerable h1{{font-size:1.5em;margin:0 0 .4em}}
.answerable h2{{font-size:1.15em;margin:1.6em 0 .4em;border-top:1px solid var(--line);
padding-top:.8em}}
@media print{{body{{margin:0;max-width:none}}.answerable tr,.answerable svg{{break-inside:avoid}}}}
"""


def csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows for a spreadsheet: RFC 4180, with no cell that one would take for a formula.

    Text that begins with `=`, `+`, `-`, `@`, one of these in full width or another form, a tab
    or a carriage return gets an apostrophe before it; control and bidirectional characters are
    escaped; numbers and times are written plainly.
    """
    import csv as writer
    import io

    out = io.StringIO()
    to = writer.writer(out, lineterminator="\r\n")
    to.writerow([_sheet(name) for name in columns])
    to.writerows([_sheet(row.get(name)) for name in columns] for row in rows)
    return out.getvalue()


def _sheet(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case list() | tuple():
            value = ", ".join(str(one) for one in value)
    text = str(value)
    # By what it begins with before anything is escaped: some programs drop what they cannot show.
    start = text.lstrip(" \u00a0\u3000\ufeff\u200b\u200e\u200f")[:1]
    # Some programs take the wide forms for the plain ones.
    formula = unicodedata.normalize("NFKC", start) in ("=", "+", "-", "@", "\t", "\r")
    formula = formula or text[:1] in ("\t", "\r", "\n")
    return ("'" if formula else "") + shown(text, SHEET_CELL)


def bundle(value: Any) -> dict[str, str]:
    """What a front end chooses from: text for terminals, HTML for notebooks."""
    return {"text/plain": repr(value), "text/html": html(value)}


def html(value: Any) -> str:
    """A value of the engine as HTML."""
    return whole(parts(value))


def parts(value: Any) -> list[str]:
    """The same in pieces, for a page."""
    return _PARTS[type(value).__name__](value)


# ---------------------------------------------------------------------------------- one kind each


def _entries(entries: Any) -> list[str]:
    some = entries[: ROWS + 1]
    rows = [_row(entry) for entry in some[:ROWS]]
    columns = ["index", "at", "who", "what", "resource", "decided", "reasons", "outcome"]
    used = [name for name in columns if any(row[name] for row in rows) or name == "index"]
    more = len(some) > ROWS
    # The plain form knows whether counting is cheap enough for a glance.
    head = repr(entries).partition("\n")[0].strip("<>")
    note = f'<p class="soft">the first {ROWS}</p>' if more else ""
    return [f"<p>{safe(head)}</p>", table(rows, used) if rows else "", note]


def _row(entry: Any) -> dict[str, Any]:
    decision = entry.kind == "decision"
    who = "nobody" if entry.human == "none" else entry.human_name
    parts = [who, *entry.via] if decision else [who, entry.agent_name]
    return {
        "index": entry.index,
        "at": entry.at,
        "who": " → ".join(part for part in parts if part),
        "what": entry.tool if decision else f"{entry.kind} {entry.leaf.get('action', '')}".strip(),
        "resource": entry.resource,
        "decided": entry.effect,
        "reasons": entry.reasons,
        "outcome": entry.outcome,
    }


def _entry(entry: Any) -> list[str]:
    rows = [
        ("entry", f'<span class="id">{safe(entry.id)}</span> · index {entry.index}'),
        ("at", f"{safe(text_of(entry.at))} UTC"),
        ("kind", safe(" ".join(filter(None, [entry.kind, entry.leaf.get("action")])))),
    ]
    row = _row(entry)
    if row["who"]:
        rows.append(("who", safe(row["who"], TEXT)))
    if entry.kind == "decision":
        on = f" on {safe(entry.resource, TEXT)}" if entry.resource is not None else ""
        rows.append(("what", f"{safe(entry.tool)}{on}"))
        rows.append(("arguments", _arguments(entry.arguments)))
        reasons = f": {safe(', '.join(entry.reasons))}" if entry.reasons else ""
        rows.append(("decided", f"{mark(entry.effect or '')}{reasons}"))
        if entry.outcome is not None:
            took = "" if entry.duration is None else f" after {_span(entry.duration)}"
            rows.append(("outcome", f"{mark(entry.outcome)}{took}"))
        elif entry.effect == "allow":
            rows.append(("outcome", "none recorded"))
    else:
        values = {name: value for name, value in entry.values.items() if name != "token"}
        rows += [(name, safe(value, TEXT)) for name, value in values.items()]
    if entry.task:
        rows.append(("task", f'<span class="id">{safe(entry.task)}</span>'))
    return [facts(rows)]


def _arguments(arguments: Mapping[str, Any] | None) -> str:
    given = arguments or {}
    return "<br>".join(f"{safe(name)} = {safe(repr(value), TEXT)}" for name, value in given.items())


def _story(story: Any) -> list[str]:
    who = f"{safe(story.human_name)} ({safe(story.assurance)})"
    rows = [
        ("who", f'{who} · <span class="id">{safe(story.human)}</span>'),
        ("why", safe(story.task, TEXT) if story.task else "(no task was stated)"),
    ]
    for place, hop in enumerate(story.via, 1):
        lines = [
            f'{place}. {safe(hop.name)} · <span class="id">{safe(hop.grant)}</span> '
            f"until {safe(hop.until)}"
        ]
        lines += [f"stated: {safe(hop.statement, TEXT)}"] if hop.statement else []
        lines += [f"may: {safe(line, TEXT)}" for line in hop.scope]
        lines += [f"at most: {safe(line)}" for line in hop.limits]
        rows.append(("via" if place == 1 else "", "<br>".join(lines)))
    on = f" on {safe(story.resource, TEXT)}" if story.resource is not None else ""
    named = [f"{safe(name)} = {safe(value, TEXT)}" for name, value in story.arguments.items()]
    rows.append(("what", "<br>".join([f"{safe(story.tool)}{on}", *named])))
    decided = [f"{mark(story.effect)} at {safe(text_of(story.at))} UTC · policy {story.policy}"]
    rows.append(("decided", "<br>".join([decided[0], *map(_reason, story.reasons)])))
    for label in ("outcome", "approval", "parent"):
        if getattr(story, label) is not None:
            rows.append((label, safe(getattr(story, label), TEXT)))
    if story.erased:
        rows.append(("erased", safe(", ".join(story.erased))))
    rows.append(("entry", f'<span class="id">{safe(story.entry)}</span> · index {story.index}'))
    return [f"<p><b>{safe(story.headline, 400)}</b></p>", facts(rows)]


def _reason(reason: Any) -> str:
    fix = f"; to fix it: {safe(reason.fix, TEXT)}" if reason.fix else ""
    return f"<code>{safe(reason.code)}</code> {safe(reason.message, TEXT)}{fix}"


def _decision(decision: Any) -> list[str]:
    rows = [("decided", mark(decision.effect)), ("tool", safe(decision.tool))]
    if decision.reasons:
        rows.append(("reasons", "<br>".join(map(_reason, decision.reasons))))
    rows.append(("policy", safe(", ".join([decision.policy_version, *decision.policies]))))
    for label in ("approval", "entry"):
        if getattr(decision, label) is not None:
            rows.append((label, f'<span class="id">{safe(getattr(decision, label))}</span>'))
    return [facts(rows)]


def _grant(grant: Any) -> list[str]:
    rows = [
        (label, f'<span class="id">{safe(getattr(grant, name))}</span>')
        for label, name in (("grant", "id"), ("human", "human"), ("held by", "agent"))
    ]
    rows.append(("task", f'<span class="id">{safe(grant.task)}</span>'))
    rows.append(("may", "<br>".join(safe(one, TEXT) for one in grant.scope)))
    rows.append(("until", f"{safe(text_of(grant.expires_at))} UTC · depth {grant.depth}"))
    return [facts(rows)]


def _agent(agent: Any) -> list[str]:
    return [
        facts(
            [
                ("agent", f'<b>{safe(agent.name)}</b> · <span class="id">{safe(agent.id)}</span>'),
                ("status", mark(agent.status)),
                ("owner", f'<span class="id">{safe(agent.owner)}</span>'),
                ("purpose", safe(agent.purpose, TEXT)),
                ("at most", "<br>".join(safe(one, TEXT) for one in agent.ceiling)),
                ("until", f"{safe(text_of(agent.expires_at))} UTC"),
            ]
        )
    ]


def _human(human: Any) -> list[str]:
    name = f"<b>{safe(human.name or human.account)}</b>"
    rows = [
        ("human", f'{name} · <span class="id">{safe(human.id)}</span>'),
        ("account", f"{safe(human.account)} at {safe(human.issuer)}, {safe(human.assurance)}"),
    ]
    rows += [("left", "offboarded")] if human.offboarded else []
    return [facts(rows)]


def _task(task: Any) -> list[str]:
    ended = f"ended {text_of(task.ended_at)} UTC" if task.ended else "open"
    rows = [
        ("task", f'<span class="id">{safe(task.id)}</span>'),
        ("stated", safe(task.sentence or "(erased)", TEXT)),
        ("human", f'<span class="id">{safe(task.human)}</span>'),
        ("state", f"{ended} · opened {safe(text_of(task.opened_at))} UTC · {task.grants} grants"),
    ]
    return [facts(rows)]


def _receipt(receipt: Any) -> list[str]:
    told = json.loads(receipt.text)
    kinds: dict[str, int] = {}
    for entry in told["entries"]:
        kind = str(entry["leaf"].get("kind"))
        kinds[kind] = kinds.get(kind, 0) + 1
    about = next(iter(told["subject"].values()))
    rows = [
        ("receipt", f'about <span class="id">{safe(about)}</span>'),
        ("holds", safe(", ".join(f"{count} {kind}" for kind, count in kinds.items()))),
        ("authority", f'<span class="id">{safe(told["authority"])}</span>'),
        ("verify with", "<code>ans.verify_receipt(receipt, authority=…)</code>"),
    ]
    return [facts(rows)]


def _review(review: Any) -> list[str]:
    # By their code, or many of one kind would hide the others.
    grouped: dict[tuple[str, str], list[Any]] = {}
    for one in review.findings:
        grouped.setdefault((one.severity, one.code), []).append(one)
    rows = [
        {
            "severity": severity,
            "code": code,
            "findings": len(some),
            "why": some[0].why if len(some) == 1 else f"{some[0].why}; and {len(some) - 1:,} more",
            "suggestion": some[0].suggestion,
        }
        for (severity, code), some in grouped.items()
    ]
    head = f"review of {len(review.agents):,} agents at {text_of(review.at)} UTC"
    return [
        f"<p>{safe(head)}: <b>{len(review):,} findings</b></p>",
        table(rows, ["severity", "code", "findings", "why", "suggestion"]) if rows else "",
        f'<p class="soft">the first of each code; all are in {safe("review.findings")}</p>'
        if len(rows) < len(review)
        else "",
    ]


def _finding(finding: Any) -> list[str]:
    rows = [("finding", f"{mark(finding.severity)} <code>{safe(finding.code)}</code>")]
    rows += [("why", safe(finding.why, TEXT)), ("suggestion", safe(finding.suggestion, TEXT))]
    return [facts(rows)]


def _report(report: Any) -> list[str]:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.kinds.items())
    rows = [
        ("verified", safe(str(report), TEXT)),
        ("root", f'<span class="id">{safe(report.root)}</span>'),
        ("kinds", safe(kinds, TEXT)),
    ]
    return [facts(rows)]


def _told(value: Any) -> list[str]:
    """What its text tells best: a tree, line by line."""
    lines = "\n".join(safe(line, TEXT) for line in str(value).splitlines())
    return [f"<pre>{lines}</pre>"]


def _chain(chain: Any) -> list[str]:
    rows = [
        {
            "agent": hop.name,
            "grant": hop.grant,
            "may": hop.scope,
            "at most": hop.limits,
            "until": hop.until,
        }
        for hop in chain.hops
    ]
    against = [("against it", "<br>".join(map(_reason, chain.against)))] if chain.against else []
    told = [("human", safe(chain.human_name)), ("task", safe(chain.sentence or chain.task, TEXT))]
    return [facts(told + against), table(rows, ["agent", "grant", "may", "at most", "until"])]


_PARTS: dict[str, Callable[[Any], list[str]]] = {
    "Agent": _agent,
    "Chain": _chain,
    "Decision": _decision,
    "Entries": _entries,
    "Entry": _entry,
    "Finding": _finding,
    "Grant": _grant,
    "Human": _human,
    "Receipt": _receipt,
    "Reconstruction": _told,
    "Report": _report,
    "Review": _review,
    "Story": _story,
    "Task": _task,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _span(seconds: float) -> str:
    """A length of time in the unit that fits it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
