"""An object claims to be a small number while it is judged, and is a large one after.

Class: Unicode and canonicalization
Refusal: AccessDenied invalid_argument, or the judged value runs
Check: src/python/convert/snapshot.rs:read: exact types, and a snapshot
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/python/convert/snapshot.rs",
        "object.cast_exact::<PyInt>().is_ok()",
        "object.extract::<i64>().is_ok()",
    )
]


def test_a_number_that_lies(world: World) -> None:
    class Liar(int):
        def __le__(self, other: object) -> bool:
            return True

        def __index__(self) -> int:
            return 1

        def __int__(self) -> int:
            return 1

    class Other:
        def __index__(self) -> int:
            return 1

    with pytest.raises(ans.AccessDenied), world.engine.acting(world.root):
        world.transfer("travel-1", Liar(1_000_000))
    with pytest.raises(ans.AccessDenied), world.engine.acting(world.root):
        world.transfer("travel-1", Other())
    assert world.ran == []
