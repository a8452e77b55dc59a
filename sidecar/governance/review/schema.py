"""JSON Schemas of both documents, made from their types: completion and first findings while one is still typing.

A schema says what the types say and what the engine allows of single numbers. What ties two of them together, and
guardrails and exceptions, only `sidecar policy check` can judge: a document that breaks its schema is always refused,
one that keeps it may be.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct, inspect, structs

from sidecar.governance.documents.decoder import LIST_CEILING
from sidecar.governance.documents.document import AuthorityDocument, Guardrail, PolicyDocument, SidecarDocument
from sidecar.governance.documents.gate import GateDocument
from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.governance.documents.limits import LIMIT_BOUNDS, limit_rule
from sidecar.governance.documents.meaning import (
    GATE_MEANINGS,
    POLICY_MEANINGS,
    SIDECAR_MEANINGS,
)
from sidecar.governance.documents.public_key import PublicKey
from sidecar.governance.documents.route_match import PathTemplate
from sidecar.governance.documents.setting_spec import SettingSpec
from sidecar.governance.documents.settings import SECTIONS, SETTINGS, PlatformSettings, RouteSettings, Settings
from sidecar.governance.documents.sidecar_version import SidecarVersion
from sidecar.governance.documents.tls_version import TlsVersion
from sidecar.governance.documents.units import BodyLimit, Duration, Size
from sidecar.net import Address, AddressRange, Endpoint, Host, HostPort, PolicyUrl, ReceiverUrl

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_DURATION: Final[Schema] = {"type": "string", "pattern": r"^[0-9]{1,20}(\.[0-9]{1,20})?(ms|s|m|h)$"}
_SIZE: Final[Schema] = {"anyOf": [{"const": 0}, {"type": "string", "pattern": "^[0-9]{1,12}(B|KiB|MiB|GiB)$"}]}

WRITTEN: Final[Mapping[type, Schema]] = {
    Duration: {**_DURATION, "examples": ["250ms", "2s", "1m", "24h"]},
    Size: {**_SIZE, "examples": ["64KiB", "1MiB"]},
    BodyLimit: {"anyOf": [*_SIZE["anyOf"], {"const": "off"}], "examples": ["off", "1MiB"]},
    Address: {
        "type": "string",
        "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$",
        "examples": ["127.0.0.1:16001", "[::1]:16001"],
    },
    Endpoint: {
        "type": "string",
        "pattern": r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?$",
        "examples": ["http://payments:8080", "https://payments.example"],
    },
    Host: {"type": "string", "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)$", "examples": ["payments"]},
    HostPort: {
        "type": "string",
        "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?$",
        "examples": ["payments", "payments:8080"],
    },
    AddressRange: {
        "type": "string",
        "pattern": r"^([0-9.]+(/[0-9]+)?(:[0-9]{1,5})?|[0-9A-Fa-f:.]+(/[0-9]+)?|\[[0-9A-Fa-f:./]+\]:[0-9]{1,5})$",
        "examples": ["169.254.169.254", "169.254.0.0/16", "127.0.0.1:16000"],
    },
    PolicyUrl: {"type": "string", "pattern": "^https://[^/?#@ ]+/[^# ]*$", "examples": ["https://policies/fleet.yaml"]},
    ReceiverUrl: {
        "type": "string",
        "pattern": "^https?://[^/?#@ ]+/[^?# ]+$",
        "examples": ["http://collector:4318/v1/traces"],
    },
    SidecarVersion: {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$", "examples": ["0.2.0"]},
    PathTemplate: {"type": "string", "pattern": "^/[^?# ]*$", "examples": ["/v1/payments/{id}"]},
    JsonPointer: {"type": "string", "pattern": "^/", "examples": ["/event/id"]},
    TlsVersion: {"enum": ["1.2", "1.3", 1.2, 1.3]},
    PublicKey: {"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$"},
}
"""The forms that have a text of their own."""


class _Subject(NamedTuple):
    """One document: its type, what its fields mean, and where settings stand in it."""

    cls: type[Struct]
    meanings: Mapping[str, str]


SCHEMAS: Final[Mapping[str, _Subject]] = {
    "policy": _Subject(PolicyDocument, POLICY_MEANINGS),
    "sidecar": _Subject(SidecarDocument, SIDECAR_MEANINGS),
    "authority": _Subject(AuthorityDocument, SIDECAR_MEANINGS),
    "gate": _Subject(GateDocument, GATE_MEANINGS),
}
"""The documents that have one, by the name of their kind."""


_SETTING_MEANINGS: Final = {
    **{path: spec.meaning for path, spec in SETTINGS.items()},
    **{path: section.meaning for path, section in SECTIONS.items()},
}
_TOP_SETTINGS: Final = frozenset(field.encode_name for field in structs.fields(Settings))
_WITH_SETTINGS: Final = frozenset({"policy", "sidecar"})


def schema_of(document: str) -> Schema:
    """The JSON Schema (2020-12) of one of SCHEMAS."""
    subject = SCHEMAS[document]
    forms: dict[str, Schema] = {}
    writer = _Writer(_SETTING_MEANINGS, {}, forms)
    settings: Schema = {"description": "Settings of one destination."}
    if document in _WITH_SETTINGS:
        settings |= writer.struct(inspect.type_info(Settings), "")
    substitutes: dict[type, Schema] = {Settings: {"$ref": "#/$defs/settings"}, Guardrail: {}}
    schema = _Writer(subject.meanings, substitutes, forms).struct(inspect.type_info(subject.cls), "")
    if document == "policy":
        guardrails = schema["properties"]["guardrails"]
        del guardrails["propertyNames"]
        guardrails["properties"] = {
            setting: {"description": spec.meaning, **_guardrail(spec, writer.of(spec.type, setting))}
            for setting, spec in SETTINGS.items()
        }
        guardrails["additionalProperties"] = False
        exception = schema["properties"]["exceptions"]["items"]
        exception["properties"]["setting"]["enum"] = list(SETTINGS)
        exception["oneOf"] = [{"required": ["service"]}, {"required": ["services"]}]
    return {
        "$schema": DIALECT,
        "title": f"Retry Sidecar: the {document} document",
        **schema,
        "$defs": {**({"settings": settings} if document in _WITH_SETTINGS else {}), **forms},
    }


def written_schema(document: str) -> str:
    """`schema_of`, as the shipped file has it."""
    return json.dumps(schema_of(document), indent=2, ensure_ascii=False) + "\n"


class _Writer:
    """Walks types as the decoder does. `substitutes` stand for types that are written elsewhere.

    Forms like Duration are written once, into `forms`, and referred to.
    """

    def __init__(
        self, meanings: Mapping[str, str], substitutes: Mapping[type, Schema], forms: dict[str, Schema]
    ) -> None:
        self._meanings = meanings
        self._substitutes = substitutes
        self._forms = forms

    def struct(self, info: inspect.Type, path: str) -> Schema:
        """A mapping whose keys are known."""
        assert isinstance(info, inspect.StructType)
        properties: Schema = {}
        for field in info.fields:
            if info.cls in (PlatformSettings, RouteSettings) and field.encode_name in _TOP_SETTINGS:
                reference = {"$ref": f"#/$defs/settings/properties/{field.encode_name}"}
                properties[field.encode_name] = {"description": _SETTING_MEANINGS[field.encode_name], **reference}
                continue
            here = f"{path}.{field.encode_name}" if path else field.encode_name
            said = {"description": self._meanings[here]} if here in self._meanings else {}
            if path == "limits":  # sizes and times are texts, whose bounds a schema can not say otherwise
                rule = limit_rule(field.encode_name)
                said["description"] += f" {rule[0].upper()}{rule[1:]}."
            properties[field.encode_name] = {**said, **self.of(field.type, here)}
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [field.encode_name for field in info.fields if field.required]
        return {**schema, "required": required} if required else schema

    def of(self, info: inspect.Type, path: str) -> Schema:
        """A value of that type, which stands at `path`."""
        match info:
            case inspect.StructType(cls=cls) if cls in self._substitutes:
                return self._substitutes[cls]
            case inspect.StructType():
                return self.struct(info, path)
            case inspect.DictType(key_type=key, value_type=value):
                names = self.of(key, path)
                return {"type": "object", "propertyNames": names, "additionalProperties": self.of(value, f"{path}.*")}
            case inspect.ListType(item_type=item, min_length=least):
                items = self.of(item, f"{path}[]")
                said = dict(SETTINGS[path].bounds) if path in SETTINGS else {}
                items |= said.pop("items", {})
                shortest = {"minItems": least} if least else {}
                whole = {"uniqueItems": True, **said, **shortest, "maxItems": LIST_CEILING}
                return {"type": "array", "items": items, **whole}
            case inspect.UnionType(types=types):
                return {"anyOf": [self.of(form, path) for form in types]}
            case inspect.CustomType(cls=cls):
                name = cls.__name__.lower()
                self._forms[name] = WRITTEN[cls]
                return {"$ref": f"#/$defs/{name}"}
            case inspect.Metadata(type=inner):
                return self.of(inner, path)
            case inspect.StrType(min_length=least, pattern=pattern):
                shortest = {"minLength": least} if least else {}
                ecma = {} if pattern is None else {"pattern": pattern.replace(r"\A", "^").replace(r"\Z", "$")}
                return {"type": "string", **shortest, **ecma}
            case inspect.BoolType():
                return {"type": "boolean"}
            case inspect.IntType(ge=low, le=high):
                return {"type": "integer", **_bounds(path, low, high)}
            case inspect.FloatType(ge=low, le=high):
                return {"type": "number", **_bounds(path, low, high)}
            case inspect.EnumType(cls=enum):
                return {"enum": [member.value for member in enum]}
            case inspect.LiteralType(values=values):
                return {"enum": list(values)}
            case inspect.DateType():
                # No type: readers of YAML make a date of what is not quoted, and no type of JSON is one.
                others = {"type": ["object", "array", "number", "boolean", "null"]}
                return {"format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "not": others}
            case inspect.AnyType():
                return {}
            case _:
                raise TypeError(f"no schema for {info}")


def _bounds(path: str, low: float | None, high: float | None) -> Schema:
    section, _, name = path.partition(".")
    if section == "limits":
        low, high = LIMIT_BOUNDS[name]
    if path in SETTINGS and SETTINGS[path].bounds:
        return dict(SETTINGS[path].bounds)
    return {**({} if low is None else {"minimum": low}), **({} if high is None else {"maximum": high})}


def _guardrail(spec: SettingSpec, value: Schema) -> Schema:
    """The guardrail of a setting, its bounds in the setting's own form."""
    bounds: Schema = {}
    forms: list[Schema] = [{"required": ["only"]}, {"required": ["fixed"]}]
    if spec.ordered:
        bounds = dict.fromkeys(("min", "max", "floor", "ceiling"), value)
        forms.insert(0, {"anyOf": [{"required": ["min"]}, {"required": ["max"]}]})
    items = value.get("items", value)
    if "anyOf" in value:  # a word for all of them, or a list of some
        items = {"anyOf": [form.get("items", form) for form in value["anyOf"]]}
    only = {"type": "array", "items": items, "uniqueItems": True}
    return {
        "type": "object",
        "properties": {**bounds, "only": only, "fixed": {"const": True}, "level": {"enum": ["hard"]}},
        "additionalProperties": False,
        "oneOf": forms,
    }
