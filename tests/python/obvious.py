"""What a pattern over resources means, segment by segment: slow, and obvious."""

from __future__ import annotations

KINDS = ("path:", "url:", "id:")


def covers_resource(patterns: list[str] | None, resource: str | None) -> bool:
    """Whether a resource, or the absence of one, is meant by one of the patterns."""
    if patterns is None or "**" in patterns:
        return True
    return resource is not None and any(covers(one, resource) for one in patterns)


def covers(pattern: str, resource: str) -> bool:
    """Whether one pattern means a resource."""
    kind = next((kind for kind in KINDS if pattern.startswith(kind)), "")
    if next((kind for kind in KINDS if resource.startswith(kind)), "") != kind:
        return False
    pattern, resource = pattern[len(kind) :], resource[len(kind) :]
    if kind == "url:" and "://" in pattern:
        scheme, _, pattern = pattern.partition("://")
        if not resource.startswith(f"{scheme}://"):
            return False
        resource = resource[len(scheme) + 3 :]
    wanted, segments = pattern.split("/"), resource.split("/")
    for place, segment in enumerate(wanted):
        if segment == "**" and place == len(wanted) - 1:
            return len(segments) > place
        if place >= len(segments):
            return False
        given = segments[place]
        if segment == "*":
            fits = given != ""
        elif segment.endswith("*"):
            fits = given.startswith(segment[:-1])
        else:
            fits = given == segment
        if not fits:
            return False
    return len(wanted) == len(segments)
