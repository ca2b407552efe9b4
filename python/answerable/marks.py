"""Marks: places in a trail that tell when it is another.

A number alone does not say whether the trail that it was taken in is the one that it is used in:
after a store was put back to an older state, other entries have the same numbers. So a mark has the
ids of some entries before it, the further back the fewer: where the last one is another, the place
is that up to which the two have the same entries, for all that the mark shows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from answerable.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from answerable._core import Trail

__all__ = ["Marks", "at_number", "is_mark", "read"]

_MOST = 64
_FORM = re.compile(r"(0|[1-9][0-9]{0,14})((?:,(?:0|[1-9][0-9]{0,14}):ent_[0-9a-z]{1,64})*)")


def looked_at(place: int) -> list[int]:
    """The entries that a mark shows, newest first: the last one, and two of each power of four.

    An entry is at most four times as far back as one that the mark was to tell of.
    """
    last = place - 1
    if last < 0:
        return []
    found, step = {last, 0}, 4
    while step <= last:
        nearest = last - last % step
        found |= {nearest, nearest - step}
        step *= 4
    return sorted(found, reverse=True)


class Marks:
    """Makes marks as a reader goes on.

    Attributes:
        place: The place, as a number.
    """

    def __init__(self, trail: Trail, place: int) -> None:
        self._trail = trail
        self._known: dict[int, str] = {}
        self._last: tuple[int, str] | None = None
        self.place = place
        self.go(place)

    def go(self, place: int) -> None:
        """Goes on to a place; all before it is on the disk."""
        wanted = looked_at(place)
        missing = [index for index in reversed(wanted) if index not in self._known]
        found = {**self._known, **dict(zip(missing, self._trail._ids(missing), strict=True))}
        # An entry that cannot be read shows nothing; those before it do.
        self._known = {index: one for index in wanted if (one := found[index]) is not None}
        self._last, self.place = None, place

    def step(self, index: int, entry: str) -> None:
        """Goes on behind an entry that is at hand, with what was looked up before."""
        self._last, self.place = (index, entry), index + 1

    def __str__(self) -> str:
        shown = sorted(self._known.items(), reverse=True)
        if self._last is not None:
            shown.insert(0, self._last)
        return ",".join([str(self.place), *(f"{index}:{entry}" for index, entry in shown)])


def is_mark(value: object) -> bool:
    """Whether a value has the form of a mark."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def at_number(trail: Trail, place: object) -> int:
    """A place by its number alone: that it is one of this trail cannot be told, but for its size.

    Raises:
        InvalidInput: It is no number from 0 on.
        NotFound: The trail is shorter.
    """
    if isinstance(place, bool) or not isinstance(place, int) or place < 0:
        raise InvalidInput(
            "expected a place in the trail", hint="the position of a watch, the cursor of a follow"
        )
    size = len(trail)
    if place > size:
        raise NotFound(f"the trail has {size} entries, it does not reach to {place}")
    return place


def read(trail: Trail, mark: str) -> int:
    """The place that a mark names; where the trail was put back, the last that both have.

    Raises:
        InvalidInput: It is no mark.
        NotFound: It was made in another trail.
    """
    form = _FORM.fullmatch(mark)
    shown = [] if form is None else [one.split(":") for one in form[2].split(",") if one]
    marks = sorted(((int(index), entry) for index, entry in shown), reverse=True)
    place = 0 if form is None else int(form[1])
    newest = marks[0][0] if marks else -1
    if form is None or len(marks) > _MOST or newest >= place or (place > 0 and not marks):
        raise InvalidInput("that is no mark of a place in a trail", hint="as it was handed out")
    size = len(trail)
    there = [(index, entry) for index, entry in reversed(marks) if index < size]
    ids = trail._ids([index for index, _ in there])
    same = [index for (index, entry), found in zip(there, ids, strict=True) if found == entry]
    if not same:
        if place == 0:
            return 0
        raise NotFound("the place is one of another trail", hint="begin anew, at 0")
    last: int = same[-1]
    return last + 1
