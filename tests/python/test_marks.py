"""Places in the trail that are handed out tell when the store was put back to an older state."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from living import World

import answerable as ans
from answerable import marks
from answerable.marks import Marks
from answerable.watching import Event


def people(engine: ans.Engine, word: str, many: int) -> None:
    for number in range(many):
        engine.humans.register(f"{word}{number}@example.com")


class PutBack:
    """A store put back to a backup, longer by now than what was read before: places of before."""

    def __init__(self, path: Path) -> None:
        world = World(path / "store")
        engine = world.engine
        engine.backup(path / "backup")
        self.shared = [entry.id for entry in engine.trail.page(0, 1000)]
        follow = engine.trail.follow(after=0)
        watch = engine.watch(print, kinds=["none"], findings=False, since=1)
        people(engine, "lost", 30)
        self.lost = engine.trail.get(len(engine.trail) - 1)
        for _ in range(len(engine.trail) - 1):
            next(follow)
        watch.close(600)
        engine.close()
        # They can be had when the engine is closed, and are text.
        self.cursor, self.position = follow.cursor, watch.position
        self.before = len(self.shared) + 30
        shutil.rmtree(path / "store")
        shutil.copytree(path / "backup", path / "store")
        self.engine = ans.open(path / "store", accept_restore="the disk died")
        self.engine.revoke(self.engine.agents.get("booker"), reason="stolen")
        people(self.engine, "new", 40)
        self.size = len(self.engine.trail)
        assert self.size > self.before
        self.new = [entry.id for entry in self.engine.trail.page(0, 1000)][len(self.shared) :]
        kinds = [entry.kind for entry in self.engine.trail.page(len(self.shared), 2)]
        assert kinds == ["restore", "revocation"]


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = PutBack(tmp_path_factory.mktemp("back"))
    yield made
    made.engine.close()


def watched(engine: ans.Engine, since: Any) -> list[str]:
    """The ids of all that a watch tells until now."""
    seen: list[Event] = []
    engine.watch(seen.append, kinds=[], findings=False, since=since).close(600)
    return [event.entry.id for event in seen if event.entry]


def followed(engine: ans.Engine, after: Any) -> list[str]:
    """The ids of all that a follow gives until now."""
    follow = engine.trail.follow(after=after)
    found: list[str] = []
    newest = engine.trail.get(len(engine.trail) - 1).id
    while not found or found[-1] != newest:
        found.append(next(follow).id)
    return found


@pytest.mark.parametrize("read", [watched, followed])
def test_nothing_is_missed_after_a_restore(
    back: PutBack, read: Callable[[ans.Engine, Any], list[str]]
) -> None:
    for mark in (back.position, back.cursor):
        assert isinstance(mark, str)
        found = read(back.engine, mark)
        assert found[-len(back.new) :] == back.new, "the restore, the revocation and what followed"
        # From a place that both have: what is told again is no more than four times what was lost.
        assert len(found) - len(back.new) <= 4 * 30


def test_one_who_is_gone_is_not_found(back: PutBack) -> None:
    trail = back.engine.trail
    for place in (back.lost, back.lost.id):
        for ask in (
            trail.get,
            lambda one: trail.entries(after=one),
            lambda one: trail.entries(before=one),
            lambda one: trail.follow(after=one),
        ):
            with pytest.raises(ans.NotFound):
                ask(place)
    assert [one.id for one in trail.entries(after=trail.get(3), kind="restore")] == [back.new[0]]


def test_what_is_no_place_is_refused(back: PutBack) -> None:
    engine = back.engine
    wrong: list[Any] = [-1, True, False, 1.5, b"3", "", "x", "7", "7,", "7,9:ent_a", "-1", "1,0:x"]
    for place in wrong:
        with pytest.raises(ans.InvalidInput):
            engine.watch(print, since=place)
    for place in (-1, True, False):
        with pytest.raises(ans.InvalidInput):
            engine.trail.follow(after=place)
    far: list[Any] = [back.size + 1, 10**9, 2**63, 2**64, 2**70]
    for place in far:
        with pytest.raises(ans.NotFound):
            engine.watch(print, since=place)
        with pytest.raises(ans.NotFound):
            engine.trail.follow(after=place)
    with pytest.raises(ans.NotFound):
        engine.trail.follow(after=back.size)
    # Numbers of before go on, as far as they can be told.
    assert watched(engine, back.size) == []
    assert watched(engine, back.size - 1) == followed(engine, back.size - 2) == [back.new[-1]]
    assert watched(engine, "0") == watched(engine, 0)
    assert followed(engine, "0") == watched(engine, 0)


def test_a_place_in_another_trail_is_not_found(back: PutBack, tmp_path: Path) -> None:
    with ans.open(tmp_path / "other") as other:
        people(other, "other", 100)
        for ask in (lambda mark: other.watch(print, since=mark),
                    lambda mark: other.trail.follow(after=mark)):  # fmt: skip
            with pytest.raises(ans.NotFound, match="another trail"):
                ask(back.position)


def test_a_mark_of_the_same_trail_leads_to_its_place(back: PutBack) -> None:
    trail = back.engine.trail
    for place in range(back.size + 1):
        made = str(Marks(trail, place))
        assert marks.is_mark(made)
        assert marks.read(trail, made) == place
    walked = Marks(trail, 0)
    for index, entry in enumerate(trail.page(0, 1000)):
        walked.step(index, entry.id)
        assert marks.read(trail, str(walked)) == index + 1
        if index % 7 == 0:
            walked.go(index + 1)


def test_a_mark_tells_of_a_place_near_any_other() -> None:
    for place in [*range(1, 300), 1023, 1024, 1025, 4**10, 4**10 + 1, 999_999, 2**40]:
        shown = marks.looked_at(place)
        assert shown == sorted(shown, reverse=True)
        assert shown[0] == place - 1
        assert shown[-1] == 0
        assert len(shown) <= 44
        for lost in {1, 2, 3, 5, 17, place // 3, place // 2, place - 1} - {0}:
            if lost < place:
                there = max(index for index in shown if index < place - lost)
                assert place - lost - there <= 4 * lost + 4, (place, lost)
    assert marks.looked_at(0) == []
