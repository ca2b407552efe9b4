"""Entries in the shapes that others' tools read: OCSF, CloudEvents, OpenTelemetry.

Each function takes an entry as it stands in the trail and answers plain JSON values. What was
erased, masked or never recorded is left out, never made up.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from answerable import _core

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["OCSF_VERSION", "cloud_event", "log_record", "ocsf", "span"]

OCSF_VERSION = "1.8.0"
PREFIX = "answerable"
# OCSF API Activity: the dispositions Allowed, Blocked and (for a question) Delayed.
_DISPOSITION = {"allow": (1, "Allowed"), "deny": (2, "Blocked"), "ask": (14, "Delayed")}
_ACTION = {"allow": (1, "Allowed"), "deny": (2, "Denied"), "ask": (99, "Asked")}


def _millis(at: datetime) -> int:
    return round(at.timestamp() * 1e3)


def _nanos(at: datetime) -> int:
    whole = at.replace(microsecond=0)
    return (round(whole.timestamp()) * 1_000_000 + at.microsecond) * 1_000


def _plain(entry: _core.Entry) -> dict[str, Any]:
    return json.loads(entry.json())  # type: ignore[no-any-return]


def ocsf(entry: _core.Entry, *, tenant: str) -> dict[str, Any] | None:
    """An OCSF API Activity (class 6003), for decisions and outcomes; None for other kinds.

    The actor is the human accountable, `invoked_by` the agent; each grant of the chain, from the
    root, stands in `actor.authorizations` as a policy that was applied, and so does the version of
    the policies that decided. The event's uid is the entry's id.
    """
    if entry.kind not in ("decision", "outcome"):
        return None
    leaf, values = entry.leaf, _plain(entry)["values"]
    outcome = entry.kind == "outcome"
    effect = entry.effect or ""
    human, agent = entry.human, entry.agent
    actor: dict[str, Any] = {"invoked_by": entry.agent_name or agent or "nobody"}
    if agent is not None:
        actor["app_uid"], actor["app_name"] = agent, entry.agent_name or agent
    if human not in (None, "none"):
        actor["user"] = {"uid": human, "name": entry.human_name or human, "type_id": 1}
    chain = [digest.hex() for digest in leaf.get("chain", [])]
    decision = {"allow": "Allow", "deny": "Deny", "ask": "Ask"}.get(effect, "")
    authorizations = [
        {
            "decision": decision,
            "policy": {"uid": digest, "name": f"grant {hop}", "is_applied": True},
        }
        for hop, digest in enumerate(chain)
    ]
    policy = leaf.get("policy")
    if policy not in (None, "none"):
        authorizations.append(
            {
                "decision": decision,
                "policy": {"uid": str(policy), "name": "policies", "version": str(policy)},
            }
        )
    if authorizations:
        actor["authorizations"] = authorizations
    event: dict[str, Any] = {
        "activity_id": 99,
        "activity_name": entry.kind,
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": 6003,
        "class_name": "API Activity",
        "type_uid": 600399,
        "time": _millis(entry.at),
        "severity_id": 1 if effect in ("allow", "") else 2,
        "metadata": {
            "version": OCSF_VERSION,
            "uid": entry.id,
            "sequence": entry.index,
            "tenant_uid": tenant,
            "log_name": "trail",
            "profiles": ["security_control"],
            "product": {
                "name": "answerable", "vendor_name": "answerable", "version": _core.__version__,
            },
        },
        "actor": actor,
        "src_endpoint": {"uid": agent or "none", "name": entry.agent_name or agent or "nobody"},
        "api": {
            "operation": entry.tool or entry.kind,
            "request": {"uid": leaf.get("decision", entry.id)},
        },
        "unmapped": {
            PREFIX: {
                key: value
                for key, value in {
                    "task": entry.task,
                    "parent": entry.parent,
                    "chain": chain or None,
                    "decision": leaf.get("decision"),
                    "approval": leaf.get("approval"),
                }.items()
                if value is not None
            }
        },
    }  # fmt: skip
    if entry.resource is not None:
        event["resources"] = [{"name": entry.resource, "uid": entry.resource}]
    if outcome:
        event["status_id"] = 1 if leaf.get("status") == "returned" else 2
        event["status"] = "Success" if event["status_id"] == 1 else "Failure"
        event["duration"] = int(leaf.get("duration_us", 0)) // 1000
        event["api"]["response"] = {"code": 0 if event["status_id"] == 1 else 1}
        if isinstance(values.get("error"), str):
            event["api"]["response"]["error_message"] = values["error"]
        return event
    event["action_id"], event["action"] = _ACTION.get(effect, (0, "Unknown"))
    event["disposition_id"], event["disposition"] = _DISPOSITION.get(effect, (0, "Unknown"))
    event["status_id"] = 1 if effect == "allow" else 2 if effect == "deny" else 99
    event["status"] = {1: "Success", 2: "Failure", 99: "Asked"}[event["status_id"]]
    if entry.reasons:
        event["status_code"] = entry.reasons[0]
        event["status_detail"] = ", ".join(entry.reasons)
    arguments = values.get("arguments")
    if arguments is not None:
        event["api"]["request"]["data"] = arguments
    return event


def cloud_event(entry: _core.Entry, *, tenant: str) -> dict[str, Any]:
    """A CloudEvent 1.0 in its JSON format, for every kind: the leaf and its values are the data."""
    plain = _plain(entry)
    return {
        "specversion": "1.0",
        "id": entry.id,
        "source": f"urn:{PREFIX}:{tenant}",
        "type": f"{PREFIX}.{entry.kind}",
        "subject": entry.tool or leaf_subject(entry),
        "time": entry.at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": f"{entry.index:020}",
        "data": plain,
    }


def leaf_subject(entry: _core.Entry) -> str:
    """What an entry is about, by the first id it names."""
    for key in ("grant", "agent", "task", "human", "target"):
        if isinstance(entry.leaf.get(key), str):
            return str(entry.leaf[key])
    return entry.kind


def _any(value: Any) -> dict[str, Any]:
    """A value of OTLP's JSON encoding."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any(item) for item in value]}}
    return {"stringValue": value if isinstance(value, str) else json.dumps(value)}


def _attributes(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any(value)} for key, value in facts.items() if value is not None]


def _facts(entry: _core.Entry) -> dict[str, Any]:
    """Attributes by the GenAI conventions, and ours under our own prefix."""
    leaf, values = entry.leaf, _plain(entry)["values"]
    arguments = values.get("arguments")
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": entry.tool,
        "gen_ai.tool.call.id": leaf.get("decision", entry.id),
        "gen_ai.agent.id": entry.agent,
        "gen_ai.agent.name": entry.agent_name,
        "gen_ai.conversation.id": entry.task,
        "gen_ai.tool.call.arguments": None if arguments is None else json.dumps(arguments),
        f"{PREFIX}.entry": entry.id,
        f"{PREFIX}.index": entry.index,
        f"{PREFIX}.kind": entry.kind,
        f"{PREFIX}.human": entry.human,
        f"{PREFIX}.effect": entry.effect,
        f"{PREFIX}.reasons": entry.reasons or None,
        f"{PREFIX}.policy": leaf.get("policy"),
        f"{PREFIX}.task": entry.task,
        f"{PREFIX}.resource": entry.resource,
        f"{PREFIX}.chain": [digest.hex() for digest in leaf.get("chain", [])] or None,
        f"{PREFIX}.parent": entry.parent,
        f"{PREFIX}.decision": leaf.get("decision"),
    }


def _ids(entry: str, task: str | None) -> tuple[str, str]:
    """A trace is a task, a span a decision: derived, so that sending twice makes no second one."""
    trace = hashlib.sha256(f"{PREFIX}/trace/{task or entry}".encode()).hexdigest()[:32]
    return trace, hashlib.sha256(f"{PREFIX}/span/{entry}".encode()).hexdigest()[:16]


def span(decision: _core.Entry, outcome: _core.Entry | None) -> dict[str, Any]:
    """An OTLP span of one call: of a refused one too, which takes no time and has an error."""
    trace, own = _ids(decision.id, decision.task)
    start = _nanos(decision.at)
    took = 0 if outcome is None else int(outcome.leaf.get("duration_us", 0)) * 1000
    made: dict[str, Any] = {
        "traceId": trace,
        "spanId": own,
        "name": f"execute_tool {decision.tool or '(invalid name)'}",
        "kind": 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + took),
        "attributes": _attributes(_facts(decision)),
        "status": {"code": 1},
    }
    if decision.parent is not None:
        made["parentSpanId"] = _ids(decision.parent, decision.task)[1]
    if decision.effect != "allow":
        reason = decision.reasons[0] if decision.reasons else "denied"
        made["status"] = {"code": 2, "message": reason}
        made["attributes"] += _attributes({"error.type": reason})
    elif outcome is not None and outcome.leaf.get("status") == "raised":
        made["status"] = {"code": 2, "message": str(outcome.leaf.get("type"))}
        made["attributes"] += _attributes({"error.type": outcome.leaf.get("type")})
    return made


def log_record(entry: _core.Entry) -> dict[str, Any]:
    """An OTLP log record of any entry."""
    at = str(_nanos(entry.at))
    denied = entry.effect in ("deny", "ask") or entry.leaf.get("status") == "raised"
    record: dict[str, Any] = {
        "timeUnixNano": at,
        "observedTimeUnixNano": at,
        "severityNumber": 13 if denied else 9,
        "severityText": "WARN" if denied else "INFO",
        "eventName": f"{PREFIX}.{entry.kind}",
        "body": {"stringValue": entry.json()},
        "attributes": _attributes(_facts(entry)),
    }
    call = entry.leaf.get("decision", entry.id) if entry.kind != "decision" else entry.id
    if entry.kind == "decision":
        record["traceId"], record["spanId"] = _ids(str(call), entry.task)
    return record
