"""A path leaves the folder that a caveat names.

Class: wildcard widening
Refusal: AccessDenied caveat_failed
Check: src/scope/form.rs:is_path: canonical paths only
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    ("src/scope/form.rs", "self.rest(text).is_some() && is_path(text)", "self.rest(text).is_some()")
]


def test_a_path_out_of_its_folder(world: World) -> None:
    @ans.tool("pay.read")
    def read(path: str) -> None:
        world.ran.append(path)

    grant = world.grant(scope=ans.allow("pay.read", where={"path": ans.under("/data")}))
    paths = ["/data/a/../../etc", "/data/../etc", "/etc", "/database", "/data//x", "/data/./x"]
    for path in [*paths, "data/x", "/data/%2e%2e/etc", "/data/x\0", "/data\\..\\etc"]:
        world.denies(grant, "caveat_failed", path, tool=read)
