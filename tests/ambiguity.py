"""Whether a regular expression can take more than linear time: ambiguity of its automaton, decided and not measured.

A backtracking matcher that fails has tried every path through the automaton of the expression (Glushkov's, one state
for each character class). How their number grows with the text is the automaton's degree of ambiguity (Weber and
Seidl, *On the degree of ambiguity of finite automata*, 1991): it is not bounded if and only if there are two different
states p and q and a text that leads from p to p, from p to q and from q to q; or if one state leads to the next in two
ways on a circle. What is decided so errs on one side only: anchors and look-around are taken as always true.
"""

import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

OTHER = 1 << 256
"""Stands for every character past the first 256."""
EVERY = (1 << 257) - 1
_UNROLLED = 8
"""A repetition of more is taken for one without an end."""


@dataclass
class Fragment:
    """Part of an automaton: whether it takes the empty text, where it begins, and where it ends.

    With each end, characters that can not follow there: a possessive repetition has always taken them itself.
    """

    nullable: bool = True
    firsts: list[int] = field(default_factory=list)
    lasts: list[tuple[int, int]] = field(default_factory=list)
    taken: int = 0
    """What a possessive repetition takes wherever it may."""


class Automaton:
    """Of one expression. `search` looks for it anywhere, so that every character may come before it."""

    def __init__(self, pattern: str | bytes, flags: int = 0, *, search: bool = False) -> None:
        self.masks: list[int] = []
        self.edges: list[tuple[int, int, int]] = []
        self._ignore_case = bool(flags & re.IGNORECASE)
        self._dot_all = bool(flags & re.DOTALL)
        self._empty_twice = False
        tree = parser.parse(pattern, flags)
        body = self._sequence(tree)
        if search and list(tree)[:1] != [(op.AT, op.AT_BEGINNING_STRING)]:
            anything = self._star(self._state(EVERY))
            self._concat(anything, body)

    def superlinear(self) -> bool:
        """Whether there are texts for which the number of paths is not bounded."""
        if self._empty_twice:
            return True
        loops = self._loops()
        doubled = Counter((a, b) for a, b, _ in self.edges if loops.get(a) == loops.get(b) is not None)
        if any(count > 1 for count in doubled.values()):
            return True
        following: dict[int, list[tuple[int, int]]] = {}
        for a, b, mask in self.edges:
            following.setdefault(a, []).append((b, mask))
        return any(p != q and self._ambiguous(p, q, loops, following) for p, q in product(loops, loops))

    def _ambiguous(self, p: int, q: int, loops: dict[int, int], following: dict[int, list[tuple[int, int]]]) -> bool:
        seen = {(p, p, q)}
        todo = [(p, p, q)]
        while todo:
            a, b, c = todo.pop()
            for (x, m1), (y, m2), (z, m3) in product(following.get(a, ()), following.get(b, ()), following.get(c, ())):
                if not m1 & m2 & m3 or loops.get(x) != loops[p] or loops.get(z) != loops[q]:
                    continue
                if (x, y, z) == (p, q, q):
                    return True
                if (x, y, z) not in seen:
                    seen.add((x, y, z))
                    todo.append((x, y, z))
        return False

    def _loops(self) -> dict[int, int]:
        """The states that lead back to themselves, each with the number of its circle."""
        reach: dict[int, set[int]] = {}
        direct: dict[int, set[int]] = {}
        for a, b, _ in self.edges:
            direct.setdefault(a, set()).add(b)
        for start in range(len(self.masks)):
            found: set[int] = set()
            todo = [start]
            while todo:
                for after in direct.get(todo.pop(), ()):
                    if after not in found:
                        found.add(after)
                        todo.append(after)
            reach[start] = found
        return {
            state: min(other for other in found if state in reach[other])
            for state, found in reach.items()
            if state in found
        }

    # Building

    def _state(self, mask: int) -> Fragment:
        self.masks.append(mask)
        state = len(self.masks) - 1
        return Fragment(nullable=False, firsts=[state], lasts=[(state, 0)])

    def _link(self, lasts: Iterable[tuple[int, int]], firsts: Iterable[int]) -> None:
        targets = list(firsts)
        for a, taken in lasts:
            for b in targets:
                if mask := self.masks[b] & ~taken:
                    self.edges.append((a, b, mask))

    def _concat(self, left: Fragment, right: Fragment) -> Fragment:
        self._link(left.lasts, right.firsts)
        passing = [(state, taken | right.taken) for state, taken in left.lasts] if right.nullable else []
        return Fragment(
            nullable=left.nullable and right.nullable,
            firsts=[*left.firsts, *(right.firsts if left.nullable else ())],
            lasts=[*right.lasts, *passing],
        )

    def _star(self, body: Fragment) -> Fragment:
        self._link(body.lasts, body.firsts)
        return Fragment(nullable=True, firsts=body.firsts, lasts=body.lasts)

    def _sequence(self, items: Iterable[tuple[Any, Any]]) -> Fragment:
        whole = Fragment()
        for kind, argument in items:
            whole = self._concat(whole, self._item(kind, argument))
        return whole

    def _item(self, kind: Any, argument: Any) -> Fragment:
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN, op.CATEGORY, op.RANGE):
            return self._state(self._mask(kind, argument))
        if kind is op.SUBPATTERN:
            return self._sequence(argument[3])
        if kind is op.BRANCH:
            parts = [self._sequence(branch) for branch in argument[1]]
            self._empty_twice |= sum(part.nullable for part in parts) > 1
            return Fragment(
                nullable=any(part.nullable for part in parts),
                firsts=[state for part in parts for state in part.firsts],
                lasts=[last for part in parts for last in part.lasts],
            )
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            return self._repeat(*argument, possessive=kind is op.POSSESSIVE_REPEAT)
        if kind is op.ATOMIC_GROUP:
            return self._sequence(argument)
        if kind in (op.AT, op.ASSERT, op.ASSERT_NOT):
            return Fragment()
        raise NotImplementedError(f"{kind} has no automaton")

    def _repeat(self, least: int, most: Any, body: Any, *, possessive: bool) -> Fragment:
        whole = Fragment()
        for _ in range(min(least, _UNROLLED)):
            whole = self._concat(whole, self._sequence(body))
        if most is op.MAXREPEAT or most > _UNROLLED:
            more = self._star(self._sequence(body))
        else:
            more = Fragment()
            for _ in range(most - least):
                inner = self._concat(self._sequence(body), more)
                more = Fragment(nullable=True, firsts=inner.firsts, lasts=inner.lasts)
        if possessive:
            taken = 0
            for state in more.firsts:
                taken |= self.masks[state]
            more = Fragment(more.nullable, more.firsts, [(state, t | taken) for state, t in more.lasts], taken)
        return self._concat(whole, more)

    # Characters

    def _mask(self, kind: Any, argument: Any) -> int:
        if kind is op.LITERAL:
            return self._either_case(argument)
        if kind is op.NOT_LITERAL:
            return EVERY & ~self._either_case(argument)
        if kind is op.ANY:
            return EVERY if self._dot_all else EVERY & ~(1 << ord("\n"))
        if kind is op.RANGE:
            low, high = argument
            mask = sum(1 << code for code in range(low, min(high, 255) + 1)) | (OTHER if high > 255 else 0)
            return mask | self._cases(mask)
        if kind is op.CATEGORY:
            return _category(argument)
        mask = 0
        for inner, value in argument:
            mask |= 0 if inner is op.NEGATE else self._mask(inner, value)
        return EVERY & ~mask if argument and argument[0][0] is op.NEGATE else mask

    def _either_case(self, code: int) -> int:
        mask = 1 << code if code < 256 else OTHER
        return mask | self._cases(mask)

    def _cases(self, mask: int) -> int:
        if not self._ignore_case:
            return 0
        letters = (code for code in range(128) if mask >> code & 1)
        return sum({1 << ord(case) for code in letters for case in (chr(code).lower(), chr(code).upper())})


def _category(name: Any) -> int:
    classes: dict[Any, str] = {
        op.CATEGORY_DIGIT: r"\d",
        op.CATEGORY_NOT_DIGIT: r"\D",
        op.CATEGORY_SPACE: r"\s",
        op.CATEGORY_NOT_SPACE: r"\S",
        op.CATEGORY_WORD: r"\w",
        op.CATEGORY_NOT_WORD: r"\W",
    }
    return OTHER | sum(1 << code for code in range(256) if re.match(classes[name], chr(code)))


def superlinear(pattern: str | bytes, flags: int = 0, *, search: bool = False) -> bool:
    """Whether matching `pattern`, or looking for it anywhere, may take more than linear time."""
    return Automaton(pattern, flags, search=search).superlinear()
