"""The files of one API description and what their references mean.

`referencing` resolves (JSON pointers, `$id`, `$anchor`, base URIs); here are the files it may read, their places, and
the law that a reference to nothing is an error and never an empty answer. No address is ever opened.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from referencing import Registry, Resource, Specification
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.review.source import DescriptionFile

FILES_CEILING: Final = 2000
CHAIN_CEILING: Final = 32
"""References that lead to references."""

_UNREAD: Final = frozenset({"example", "examples", "default", "enum", "const"})
"""Keys under which `$ref` is a value of the API, and no reference of its description."""
_NAMED: Final = frozenset(
    {
        "$defs",
        "callbacks",
        "channels",
        "content",
        "definitions",
        "dependentSchemas",
        "encoding",
        "headers",
        "mediaTypes",
        "messages",
        "operations",
        "parameters",
        "pathItems",
        "paths",
        "patternProperties",
        "properties",
        "requestBodies",
        "responses",
        "schemas",
        "webhooks",
        "x-webhooks",
    }
)
"""Mappings whose keys are names that people gave: one called `default` is none of the keywords above."""


@dataclass(frozen=True, slots=True)
class Target:
    """The value that a reference leads to, in `file`, where further references are resolved against the URI `base`."""

    value: Any
    file: DescriptionFile
    base: str


class Library:
    """The files of one description, each read once. `read` gives the bytes of a path, or raises OSError."""

    def __init__(self, read: Callable[[str], bytes], name_of: Callable[[str], str]) -> None:
        """`name_of` is how findings call a path."""
        self._read = read
        self._name_of = name_of
        self._files: dict[str, DescriptionFile] = {}
        self._aliases: dict[str, str] = {}
        self._registry: Registry[Any] = Registry(retrieve=self._retrieve)  # type: ignore[call-arg]
        self._resolved: dict[tuple[str, str], Target] = {}

    def open(self, path: str) -> Target:
        """The description at an absolute path. Raises InvalidDocument, or OSError when it can not be read."""
        uri = _uri(path)
        file = self._file(uri)
        if isinstance(file.value, dict) and isinstance(own := file.value.get("$self"), str):
            self._aliases[urldefrag(own).url] = uri
        return Target(file.value, file, uri)

    @property
    def files(self) -> Mapping[str, DescriptionFile]:
        """Those that were read, by URI."""
        return self._files

    def resolve(self, node: dict[str, Any], where: Target) -> Target:
        """The target of the `$ref` of `node`, which stands in `where`, after all references. Raises InvalidDocument."""
        here = Target(node, where.file, where.base)
        for _ in range(CHAIN_CEILING):
            if not isinstance(here.value, dict) or not isinstance(reference := here.value.get("$ref"), str):
                return here
            here = self._lookup(reference, here, node, where)
        return self._refuse(node, where, "leads back to itself")

    def check(self, root: Target) -> list[Finding]:
        """Every reference of a description that leads nowhere, wherever it stands and whatever it is for."""
        findings: list[Finding] = []
        seen: set[int] = set()
        heap: list[tuple[Any, Target]] = [(root.value, root)]
        while heap:
            node, where = heap.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, list):
                heap += [(item, where) for item in node if isinstance(item, dict | list)]
                continue
            if isinstance(reference := node.get("$ref"), str):
                try:
                    target = self._lookup(reference, where, node, where)
                except InvalidDocument as error:
                    findings += error.findings
                else:
                    if isinstance(target.value, dict | list):
                        heap.append((target.value, target))
            heap += [(part, where) for part in _parts(node)]
        return list(dict.fromkeys(findings))

    def _lookup(self, reference: str, here: Target, node: dict[str, Any], where: Target) -> Target:
        key = (here.base, reference)
        if key not in self._resolved:
            self._resolved[key] = self._fresh(reference, here, node, where)
        return self._resolved[key]

    def _fresh(self, reference: str, here: Target, node: dict[str, Any], where: Target) -> Target:
        try:
            resolved = self._registry.resolver(here.base).lookup(reference)
        except (Unresolvable, LookupError, TypeError, ValueError) as error:
            self._refuse(node, where, _reason(reference, error))
        base = here.base if reference.startswith("#") else urldefrag(urljoin(here.base, reference)).url
        return Target(resolved.contents, self._file_of(base, resolved.contents, here), base)

    def _file_of(self, base: str, contents: object, here: Target) -> DescriptionFile:
        """The file in which a schema that has a URI of its own (`$id`) is written."""
        file = self._files.get(self._aliases.get(base, base))
        return file or next((file for file in self._files.values() if file.holds(contents)), here.file)

    def _retrieve(self, uri: str) -> Resource[Any]:
        file = self._file(self._aliases.get(uri, uri))
        return _resource(file)

    def _file(self, uri: str) -> DescriptionFile:
        if uri not in self._files:
            parts = urlsplit(uri)
            if parts.scheme != "file" or parts.netloc:
                raise PermissionError("the gate opens no addresses: keep a copy beside the description")
            if len(self._files) >= FILES_CEILING:
                raise OSError(f"a description is made of at most {FILES_CEILING} files")
            path = unquote(parts.path)
            file = DescriptionFile(self._name_of(path), self._read(path))
            self._files[uri] = file
            self._registry = self._registry.with_resource(uri, _resource(file))
        return self._files[uri]

    def _refuse(self, node: dict[str, Any], where: Target, rule: str) -> NoReturn:
        line = where.file.line(node, "$ref")
        raise InvalidDocument([Finding(where.file.name, line, "$ref", rule, str(node["$ref"]))])


def _uri(path: str) -> str:
    return f"file://{quote(path)}"


def _reason(reference: str, error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InvalidDocument):
            return f"leads to a file that is not valid: {cause.findings[0]}"
        if isinstance(cause, PermissionError) and cause.errno is None:
            return f"leads to an address: {cause}"
        if isinstance(cause, OSError):
            return f"leads to a file that can not be read: {cause.strerror or cause}"
        cause = cause.__cause__ or cause.__context__
    return "leads nowhere" if "#" in reference else "leads to nothing"


def _resource(file: DescriptionFile) -> Resource[Any]:
    named = '"$id"' in file.text or "$id:" in file.text or "$anchor" in file.text or "$dynamicAnchor" in file.text
    return (_NAMING if named else Specification.OPAQUE).create_resource(file.value)


def _parts(node: dict[str, Any]) -> Iterator[Any]:
    for key, part in node.items():
        if not isinstance(part, dict | list) or key in _UNREAD or (key[:2] == "x-" and key != "x-webhooks"):
            continue
        if key in _NAMED and isinstance(part, dict):
            yield from (named for named in part.values() if isinstance(named, dict | list))
        else:
            yield part


def _subresources(contents: Any) -> Iterator[Any]:
    """The schemas of a description, and those of a schema: where `$id` and `$anchor` are said."""
    if not isinstance(contents, dict):
        return
    components = contents.get("components")
    if isinstance(components, dict) and isinstance(schemas := components.get("schemas"), dict):
        yield from (schema for schema in schemas.values() if isinstance(schema, dict | bool))
    elif not {"openapi", "swagger", "asyncapi"} & contents.keys():
        yield from DRAFT202012.subresources_of(contents)


def _anchors(specification: Specification[Any], contents: Any) -> Any:
    if not isinstance(contents, dict) or "components" in contents:
        return []
    return DRAFT202012.anchors_in(contents)


def _id(contents: Any) -> str | None:
    own = contents.get("$id") if isinstance(contents, dict) else None
    return own if isinstance(own, str) else None


_NAMING: Final[Specification[Any]] = Specification(  # type: ignore[call-arg]
    name="an API description whose schemas name themselves",
    id_of=_id,
    subresources_of=_subresources,
    maybe_in_subresource=lambda _segments, resolver, _resource: resolver,
    anchors_in=_anchors,
)
