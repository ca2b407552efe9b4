"""A key is read from logs, reprs, pickles and exceptions.

Class: token theft
Refusal: no trace of the key
Check: src/keys/mod.rs:fmt: the id stands for a secret key
"""

from __future__ import annotations

import pickle

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/keys/mod.rs",
        'write!(f, "<secret key of {}>", self.public.id())',
        'write!(f, "{}", self.expose_paserk().as_str())',
    )
]


def test_a_private_key_in_a_repr(world: World) -> None:
    key = world.mallory_key
    secret = key.reveal().removeprefix("k4.secret.")
    told = [repr(key), str(key), repr(world.mallory), repr(world.held), repr(world.engine)]
    with pytest.raises(ans.InvalidInput) as refused:
        pickle.dumps(key)
    told.append(str(refused.value))
    for entry in world.engine.trail.entries():
        told.append(entry.json())
    assert not any(secret[:20] in text for text in told)
