"""Changes of a Kubernetes object, made one after the other: to plain values, as a JSON Patch, or to a text.

A path names items of lists by their `name`, as Kubernetes merges them, so that it stays right when items are added. An
index is used only where items have no name.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Step: TypeAlias = str | int
Path: TypeAlias = tuple[Step, ...]
"""From the object's root: keys of mappings, and names or indices of items."""
Plain: TypeAlias = Any
"""A value as JSON has it."""


@dataclass(frozen=True, slots=True)
class SetKey:
    """Add a key that the mapping at `at` does not have."""

    at: Path
    key: str
    value: Plain


@dataclass(frozen=True, slots=True)
class RemoveKey:
    """Take a key out of the mapping at `at`."""

    at: Path
    key: str


@dataclass(frozen=True, slots=True)
class AddItem:
    """Add an item to the list at `at`: in front of the others, or behind them."""

    at: Path
    value: Plain
    first: bool = False


@dataclass(frozen=True, slots=True)
class RemoveItem:
    """Take the item with this name out of the list at `at`."""

    at: Path
    name: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Put another value in the place of the one at `at`. `text` is how a file writes it, where that is known."""

    at: Path
    value: Plain
    text: str | None = None


Operation: TypeAlias = SetKey | RemoveKey | AddItem | RemoveItem | Replace


class NoSuchPath(LookupError):
    """There is nothing at a path."""


def prefixed(prefix: Path, operation: Operation) -> Operation:
    """The same change of a part that stands at `prefix`."""
    at = (*prefix, *operation.at)
    match operation:
        case SetKey(_, key, value):
            return SetKey(at, key, value)
        case RemoveKey(_, key):
            return RemoveKey(at, key)
        case AddItem(_, value, first):
            return AddItem(at, value, first)
        case RemoveItem(_, name):
            return RemoveItem(at, name)
        case Replace(_, value, text):
            return Replace(at, value, text)


def position(items: list[Plain], step: Step) -> int:
    """The index of the item that a step means. Raises NoSuchPath."""
    if isinstance(step, int):
        if step < len(items):
            return step
    else:
        for index, item in enumerate(items):
            if isinstance(item, dict) and item.get("name") == step:
                return index
    raise NoSuchPath(step)


def at(value: Plain, path: Path) -> Plain:
    """The value at a path. Raises NoSuchPath."""
    for step in path:
        if isinstance(value, list):
            value = value[position(value, step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            raise NoSuchPath(step)
    return value


def applied(value: Plain, operations: Iterable[Operation]) -> Plain:
    """A copy of an object with the changes made. Raises NoSuchPath."""
    value = _copied(value)
    for operation in operations:
        _apply(value, operation)
    return value


def json_patch(value: Plain, operations: Iterable[Operation]) -> list[dict[str, Plain]]:
    """The changes as an RFC 6902 patch of an object. Raises NoSuchPath."""
    value = _copied(value)
    patch = []
    for operation in operations:
        patch.append(_json(value, operation))
        _apply(value, operation)
    return patch


def _copied(value: Plain) -> Plain:
    """A copy that shares nothing. Five times as fast as copy.deepcopy, which was most of the time of an admission."""
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part) for part in value]
    return value


def _apply(value: Plain, operation: Operation) -> None:
    match operation:
        case SetKey(path, key, new):
            at(value, path)[key] = _copied(new)
        case RemoveKey(path, key):
            if at(value, path).pop(key, _ABSENT) is _ABSENT:
                raise NoSuchPath(key)
        case AddItem(path, new, first):
            items = at(value, path)
            items.insert(0 if first else len(items), _copied(new))
        case RemoveItem(path, name):
            items = at(value, path)
            del items[position(items, name)]
        case Replace(path, new):
            around = at(value, path[:-1])
            at(value, path)
            around[position(around, path[-1]) if isinstance(around, list) else path[-1]] = _copied(new)


def _json(value: Plain, operation: Operation) -> dict[str, Plain]:
    match operation:
        case SetKey(path, key, new):
            return {"op": "add", "path": pointer(value, (*path, key)), "value": new}
        case RemoveKey(path, key):
            return {"op": "remove", "path": pointer(value, (*path, key))}
        case AddItem(path, new, first):
            return {"op": "add", "path": pointer(value, path) + ("/0" if first else "/-"), "value": new}
        case RemoveItem(path, name):
            return {"op": "remove", "path": pointer(value, (*path, name))}
        case Replace(path, new):
            return {"op": "replace", "path": pointer(value, path), "value": new}


def pointer(value: Plain, path: Path) -> str:
    """A path in an object as an RFC 6901 pointer; its last key may be a new one. Raises NoSuchPath."""
    return "".join(f"/{str(token).replace('~', '~0').replace('/', '~1')}" for token in _tokens(value, path))


def _tokens(value: Plain, path: Path) -> Iterator[Step]:
    for end, step in enumerate(path, start=1):
        token = position(value, step) if isinstance(value, list) else step
        yield token
        if end < len(path):
            value = at(value, (step,))


_ABSENT = object()
