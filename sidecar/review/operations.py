"""The operations of a description, in one form for every dialect: what a caller can send, and what is asked of it.

OpenAPI 3.0, 3.1, 3.2 (paths, webhooks, callbacks, `query`, `additionalOperations`), Swagger 2.0, `x-webhooks`, and the
events that an AsyncAPI 3 document sends. Raises InvalidDocument where a part is not what its dialect says, since what
can not be read can not be judged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from sidecar.governance.documents.finding import Finding, InvalidDocument, shown
from sidecar.review.references import Library, Target
from sidecar.review.source import DescriptionFile

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
"""RFC 9110, section 9.2.1, and QUERY."""
REPEATABLE_METHODS: Final = SAFE_METHODS | {"PUT", "DELETE"}
"""Idempotent by their definition: RFC 9110, section 9.2.2."""

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_WEBHOOK_WORDS: Final = ("webhooks", "x-webhooks")


class Dialect(Enum):
    """The languages of descriptions."""

    SWAGGER_2 = "Swagger 2.0"
    OPENAPI_3_0 = "OpenAPI 3.0"
    OPENAPI_3_1 = "OpenAPI 3.1"
    OPENAPI_3_2 = "OpenAPI 3.2"
    ASYNCAPI_3 = "AsyncAPI 3"


class OperationKind(Enum):
    """The direction of an operation: who calls whom."""

    REQUEST = "request"
    """Callers call the service."""
    WEBHOOK = "webhook"
    """The service calls its subscribers."""
    CALLBACK = "callback"
    """The service calls an address that a request gave."""
    EVENT = "event"
    """The service sends a message to a channel."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as an operation has it in the end. `node` is written in `file`."""

    name: str
    location: str
    required: bool
    schema: Target | None
    node: dict[str, Any]
    file: DescriptionFile


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a request. `schemas` has one schema for each media type that may be sent."""

    required: bool
    schemas: tuple[tuple[str, Target], ...]
    file: DescriptionFile
    line: int


class ApiOperation:
    """One operation. `path` has the base path of its server in front; `written_path` is the document's.

    `key` names it in exceptions, baselines and findings: `POST /v1/payments`, `webhook payment.updated POST`.
    """

    def __init__(
        self,
        library: Library,
        dialect: Dialect,
        kind: OperationKind,
        *,
        method: str,
        written_path: str,
        base_path: str,
        item: Target,
        where: Target,
        outer: str = "",
    ) -> None:
        self.library = library
        self.dialect = dialect
        self.kind = kind
        self.method = method
        self.written_path = written_path
        self.path = base_path + written_path if kind is OperationKind.REQUEST else written_path
        self.item = item
        self.where = where
        self.node: dict[str, Any] = where.value
        self.outer = outer
        given = self.node.get("operationId")
        self.id = given if isinstance(given, str) else ""
        self.key = self._key()
        self._parameters: tuple[Parameter, ...] | None = None

    @property
    def file(self) -> DescriptionFile:
        """The file in which it is written."""
        return self.where.file

    @property
    def line(self) -> int:
        """The line where its mapping begins; for a path, that of the method."""
        word = "additionalOperations" if self.method.lower() not in _METHODS else self.method.lower()
        item = self.item.value
        if isinstance(item, dict) and item.get(word) is self.node:
            return self.item.file.line(item, word)
        return self.where.file.line(self.node)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that are text."""
        tags = self.node.get("tags")
        return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()

    def extension(self, name: str) -> object:
        """An `x-` entry of the operation, or of the path around it; None where neither has it."""
        if name in self.node:
            return self.node[name]
        return self.item.value.get(name) if isinstance(self.item.value, dict) else None

    def extension_line(self, name: str) -> int:
        """The line of `extension`, or of the operation where it is not written."""
        if name in self.node:
            return self.file.line(self.node, name)
        return self.line

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the path, each replaced by the operation's own of the same name and place."""
        if self._parameters is None:
            chosen: dict[tuple[str, str], Parameter] = {}
            for holder in (self.item, self.where):
                for parameter in self._listed(holder):
                    name = parameter.name.lower() if parameter.location == "header" else parameter.name
                    chosen[name, parameter.location] = parameter
            self._parameters = tuple(chosen.values())
        return self._parameters

    def parameter(self, name: str, location: str) -> Parameter | None:
        """The parameter of that name, or None. Names of headers have no case."""
        wanted = name.lower() if location == "header" else name
        for parameter in self.parameters:
            given = parameter.name.lower() if location == "header" else parameter.name
            if parameter.location == location and given == wanted:
                return parameter
        return None

    @property
    def body(self) -> Body | None:
        """The request's body, or the message's payload; None where there is none."""
        match self.dialect:
            case Dialect.SWAGGER_2:
                return self._swagger_body()
            case Dialect.ASYNCAPI_3:
                return self._message_part("payload")
            case _:
                return self._openapi_body()

    def header_schema(self) -> Body | None:
        """The headers of an event, which AsyncAPI has as one schema."""
        return self._message_part("headers") if self.dialect is Dialect.ASYNCAPI_3 else None

    @property
    def responses(self) -> dict[str, Any]:
        """The responses by status as it is written: `409`, `4XX`, `default`."""
        responses = self.node.get("responses")
        if responses is None:
            return {}
        return _mapping(responses, self.file, self.node, "responses", f"{self.key} responses")

    def text(self) -> str:
        """Its summary and description, for people."""
        words = [self.node.get("summary"), self.node.get("description")]
        return " ".join(word for word in words if isinstance(word, str))

    def _key(self) -> str:
        match self.kind:
            case OperationKind.REQUEST:
                return f"{self.method} {self.path}"
            case OperationKind.WEBHOOK:
                return f"webhook {self.written_path} {self.method}"
            case OperationKind.CALLBACK:
                return f"{self.outer} callback {self.written_path} {self.method}"
            case OperationKind.EVENT:
                return f"event {self.written_path}"

    def _listed(self, holder: Target) -> Iterator[Parameter]:
        given = holder.value.get("parameters") if isinstance(holder.value, dict) else None
        if given is None:
            return
        if not isinstance(given, list):
            _refuse(holder.file, holder.value, "parameters", f"{self.key} parameters", "must be a list", given)
        for index, entry in enumerate(given):
            field = f"{self.key} parameters[{index}]"
            _mapping(entry, holder.file, given, index, field)
            target = self.library.resolve(entry, holder)
            node = _mapping(target.value, holder.file, given, index, field)
            name, location = node.get("name"), node.get("in")
            if not isinstance(name, str) or not isinstance(location, str):
                _refuse(target.file, node, None, field, "must have a name and a place (`in`)", None)
            yield Parameter(
                name, location, node.get("required") is True, self._schema_of(node, target), node, target.file
            )

    def _schema_of(self, node: dict[str, Any], target: Target) -> Target | None:
        if self.dialect is Dialect.SWAGGER_2:
            return target if "schema" not in node else Target(node["schema"], target.file, target.base)
        if "schema" in node:
            return Target(node["schema"], target.file, target.base)
        content = node.get("content")
        for media in content.values() if isinstance(content, dict) else ():
            if isinstance(media, dict) and "schema" in media:
                return Target(media["schema"], target.file, target.base)
        return None

    def _openapi_body(self) -> Body | None:
        given = self.node.get("requestBody")
        if given is None:
            return None
        field = f"{self.key} requestBody"
        target = self.library.resolve(_mapping(given, self.file, self.node, "requestBody", field), self.where)
        node = _mapping(target.value, self.file, self.node, "requestBody", field)
        content = node.get("content")
        schemas = []
        if isinstance(content, dict):
            for media, entry in content.items():
                kind = self.library.resolve(_mapping(entry, target.file, content, media, field), target)
                schema = kind.value.get("schema", {}) if isinstance(kind.value, dict) else {}
                schemas.append((media, Target(schema, kind.file, kind.base)))
        line = self.file.line(self.node, "requestBody")
        return Body(node.get("required") is True, tuple(schemas), self.file, line)

    def _swagger_body(self) -> Body | None:
        fields: dict[str, Any] = {}
        required: list[str] = []
        for parameter in self.parameters:
            if parameter.location == "body":
                schema = parameter.schema
                assert schema is not None
                line = parameter.file.line(parameter.node)
                return Body(parameter.required, (("application/json", schema),), parameter.file, line)
            if parameter.location == "formData":
                fields[parameter.name] = parameter.node
                required += [parameter.name] if parameter.required else []
        if not fields:
            return None
        form = {"type": "object", "properties": fields, "required": required}
        schema = Target(form, self.file, self.where.base)
        return Body(bool(required), (("application/x-www-form-urlencoded", schema),), self.file, self.line)

    def _message_part(self, part: str) -> Body | None:
        """The schema of every message that the operation may send."""
        messages = self.node.get("messages")
        channel = self.item.value
        if not isinstance(messages, list):
            named = channel.get("messages") if isinstance(channel, dict) else None
            entries = [(entry, self.item) for entry in named.values()] if isinstance(named, dict) else []
        else:
            entries = [(entry, self.where) for entry in messages]
        schemas = []
        for index, (entry, where) in enumerate(entries):
            message = self.library.resolve(_mapping(entry, self.file, self.node, None, self.key), where)
            node = _mapping(message.value, self.file, self.node, None, self.key)
            schema = node.get(part, {})
            if isinstance(schema, dict) and "schemaFormat" in schema:
                schema = schema.get("schema", {})
            schemas.append((f"message {index + 1}", Target(schema, message.file, message.base)))
        return Body(required=True, schemas=tuple(schemas), file=self.file, line=self.line) if schemas else None


def dialect_of(value: object) -> Dialect | None:
    """The language of a parsed document; None when it is no description of an API."""
    if not isinstance(value, dict):
        return None
    if "swagger" in value:
        return Dialect.SWAGGER_2 if str(value["swagger"]).startswith("2.") else None
    if "asyncapi" in value:
        return Dialect.ASYNCAPI_3 if str(value["asyncapi"]).startswith("3.") else None
    version = str(value.get("openapi", ""))
    return {"3.0": Dialect.OPENAPI_3_0, "3.1": Dialect.OPENAPI_3_1, "3.2": Dialect.OPENAPI_3_2}.get(version[:3])


def operations_of(library: Library, root: Target) -> list[ApiOperation]:
    """Every operation of the description, in the order in which they are written."""
    dialect = dialect_of(root.value)
    if dialect is None:
        given = shown({word: root.value[word] for word in ("openapi", "swagger", "asyncapi") if word in root.value})
        rule = "must be OpenAPI 3.0, 3.1 or 3.2, Swagger 2.0 or AsyncAPI 3"
        raise InvalidDocument([Finding(root.file.name, 1, "", rule, given)])
    reader = _DescriptionReader(library, dialect, root)
    return list(reader.events() if dialect is Dialect.ASYNCAPI_3 else reader.operations())


class _DescriptionReader:
    def __init__(self, library: Library, dialect: Dialect, root: Target) -> None:
        self._library = library
        self._dialect = dialect
        self._root = root

    def operations(self) -> Iterator[ApiOperation]:
        root, file = self._root.value, self._root.file
        base_path = _base_path(root, self._dialect)
        paths = root.get("paths")
        for path, entry in self._named(root, "paths", paths):
            if not path.startswith("/"):
                if path.startswith("x-"):
                    continue
                _refuse(file, paths, path, f"paths.{path}", "must begin with /", path)
            yield from self._item(OperationKind.REQUEST, path, base_path, entry, self._root)
        for word in _WEBHOOK_WORDS:
            for name, entry in self._named(root, word, root.get(word)):
                yield from self._item(OperationKind.WEBHOOK, name, "", entry, self._root)

    def events(self) -> Iterator[ApiOperation]:
        root = self._root.value
        for name, entry in self._named(root, "operations", root.get("operations")):
            where = self._library.resolve(entry, self._root)
            node = _mapping(where.value, where.file, entry, None, f"operations.{name}")
            if node.get("action") != "send":
                continue
            channel = _mapping(node.get("channel"), where.file, node, "channel", f"operations.{name}.channel")
            item = self._library.resolve(channel, where)
            named = Target({**node, "operationId": name}, where.file, where.base)
            yield _Event(self._library, node, name, item, named)

    def _named(self, root: dict[str, Any], word: str, given: object) -> Iterator[tuple[str, dict[str, Any]]]:
        if given is None:
            return
        file = self._root.file
        for name, entry in _mapping(given, file, root, word, word).items():
            if name.startswith("x-") and not isinstance(entry, dict):
                continue
            yield name, _mapping(entry, file, given, name, f"{word}.{name}")

    def _item(
        self, kind: OperationKind, path: str, base_path: str, entry: dict[str, Any], where: Target, outer: str = ""
    ) -> Iterator[ApiOperation]:
        item = self._library.resolve(entry, where)
        node = _mapping(item.value, where.file, entry, None, path)
        if (
            item.value is not entry and len(entry) > 1
        ):  # fields beside `$ref` of a path: they win, as most readers have it
            merged = {**node, **{key: part for key, part in entry.items() if key != "$ref"}}
            item = Target(merged, item.file, item.base)
            node = merged
        for method, operation in _methods(node):
            holder = where if entry.get(method.lower()) is operation else item
            field = f"{method} {path}"
            given = _mapping(operation, holder.file, node, method.lower(), field)
            found = ApiOperation(
                self._library,
                self._dialect,
                kind,
                method=method,
                written_path=path,
                base_path=_server_path(given, node, base_path),
                item=item,
                where=Target(given, holder.file, holder.base),
                outer=outer,
            )
            yield found
            yield from self._callbacks(found)

    def _callbacks(self, operation: ApiOperation) -> Iterator[ApiOperation]:
        given = operation.node.get("callbacks")
        if given is None:
            return
        file = operation.file
        for name, entry in _mapping(given, file, operation.node, "callbacks", f"{operation.key} callbacks").items():
            field = f"{operation.key} callbacks.{name}"
            target = self._library.resolve(_mapping(entry, file, given, name, field), operation.where)
            node = _mapping(target.value, file, given, name, field)
            for expression, item in node.items():
                if not expression.startswith("x-"):
                    path_item = _mapping(item, target.file, node, expression, field)
                    yield from self._item(OperationKind.CALLBACK, name, "", path_item, target, operation.key)


class _Event(ApiOperation):
    """An operation of AsyncAPI that sends."""

    def __init__(self, library: Library, node: dict[str, Any], name: str, item: Target, where: Target) -> None:
        address = item.value.get("address") if isinstance(item.value, dict) else None
        self._written = node
        super().__init__(
            library,
            Dialect.ASYNCAPI_3,
            OperationKind.EVENT,
            method="SEND",
            written_path=f"{name} {address}" if isinstance(address, str) else name,
            base_path="",
            item=item,
            where=where,
        )

    @property
    def line(self) -> int:
        """The line at which it is written."""
        return self.where.file.line(self._written)

    def extension_line(self, name: str) -> int:
        """The line of `extension`, or of the operation where it is not written."""
        return self.where.file.line(self._written, name)


def _methods(item: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for key, entry in item.items():
        if key in _METHODS:
            yield key.upper(), entry
        elif key == "additionalOperations" and isinstance(entry, dict):
            yield from ((method, operation) for method, operation in entry.items())


def _base_path(root: dict[str, Any], dialect: Dialect) -> str:
    if dialect is Dialect.SWAGGER_2:
        base = root.get("basePath")
        return base.rstrip("/") if isinstance(base, str) else ""
    return _server_path(root, {}, "")


def _server_path(node: dict[str, Any], item: dict[str, Any], otherwise: str) -> str:
    """The path of the first server, its variables at their defaults."""
    for holder in (node, item):
        servers = holder.get("servers")
        if isinstance(servers, list) and servers and isinstance(servers[0], dict):
            return _path_of_server(servers[0])
    return otherwise


def _path_of_server(server: dict[str, Any]) -> str:
    url = server.get("url")
    if not isinstance(url, str):
        return ""
    variables = server.get("variables")
    for name, variable in variables.items() if isinstance(variables, dict) else ():
        if isinstance(variable, dict):
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return path.rstrip("/")


def _mapping(value: object, file: DescriptionFile, container: Any, key: str | int | None, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(file, container, key, field, "must be a mapping", value)
    return value


def _refuse(
    file: DescriptionFile, container: Any, key: str | int | None, field: str, rule: str, value: object
) -> NoReturn:
    given = None if value is None else shown(value)
    raise InvalidDocument([Finding(file.name, file.line(container, key), field, rule, given)])
