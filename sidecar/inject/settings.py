"""`injection.yaml`: the platform's settings of every injected container. Annotations say otherwise for a workload."""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from msgspec import UNSET, Meta, UnsetType, field, structs

from sidecar import __version__
from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.document import Text
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.units import Duration
from sidecar.governance.documents.yaml import parse
from sidecar.net import PolicyUrl

IMAGE: Final = f"retry-sidecar:{__version__}"

ObjectName = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z",
        extra={"rule": "must be the name of an object: a-z, 0-9, '-' and '.'"},
    ),
]
ConfigMapKey = Annotated[
    str,
    Meta(pattern=r"\A[A-Za-z0-9._-]{1,253}\Z", extra={"rule": "must be a key of a ConfigMap"}),
]
_QUANTITY: Final = re.compile(r"(?:[0-9]{1,18}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})(?:m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")


class Quantity(str):
    """An amount of a resource as Kubernetes writes it: `50m`, `64Mi`, `1`."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read what was written. Raises ValueError with the rule it breaks."""
        text = str(written) if type(written) in (int, float) else written
        if not isinstance(text, str) or _QUANTITY.fullmatch(text) is None:
            raise ValueError("must be a quantity, like 50m, 1 or 64Mi")
        return cls(text)


ResourceName = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9]([a-z0-9./-]{0,251}[a-z0-9])?\Z",
        extra={"rule": "must be the name of a resource, like cpu, memory or ephemeral-storage"},
    ),
]


class ContainerResources(Document, frozen=True, kw_only=True):
    """`resources` of the container."""

    requests: dict[ResourceName, Quantity] = field(
        default_factory=lambda: {"cpu": Quantity("50m"), "memory": Quantity("64Mi")}
    )
    limits: dict[ResourceName, Quantity] = field(default_factory=lambda: {"memory": Quantity("128Mi")})


class PolicyReference(Document, frozen=True, kw_only=True):
    """The place of the policy, for sidecars that no authority binds: a ConfigMap of the pod's namespace, or a URL."""

    config_map: ObjectName | UnsetType = UNSET
    key: ConfigMapKey = "policy.yaml"
    url: PolicyUrl | UnsetType = UNSET


class InjectionSettings(Document, frozen=True, kw_only=True):
    """The document. `authority` and `config_map` name ConfigMaps of the pod's namespace."""

    image: Text = IMAGE
    intercept_image: Text | UnsetType = UNSET
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    native: bool = True
    resources: ContainerResources = field(default_factory=ContainerResources)
    policy: PolicyReference | UnsetType = UNSET
    authority: ObjectName | UnsetType = UNSET
    authority_required: bool = False
    config_map: ObjectName = "retry-sidecar"
    drain: Duration = Duration(25.0)
    pre_stop: Duration = Duration(5.0)
    failure: Literal["ignore", "fail"] = "ignore"


DEFAULTS: Final = InjectionSettings()

_MEANINGS: Final = {
    "image": "The image of the injected container.",
    "intercept_image": "Another image for the init container of sidecar.io/transparent; by default the sidecar's own.",
    "image_pull_policy": "When the kubelet pulls it.",
    "native": "A native sidecar (Kubernetes 1.29 or newer), or a container beside the others.",
    "resources": "CPU and memory of the container.",
    "policy": "Where the policy is, where no authority says so: {config_map, key} or {url}.",
    "authority": "The ConfigMap with authority.yaml, which says whose policy governs; and what that file names.",
    "authority_required": "Whether a pod waits for that ConfigMap. Otherwise it starts without, unmanaged.",
    "config_map": "The ConfigMap with the namespace's sidecar.yaml. It may be missing.",
    "drain": "How long what is in flight may take to finish after SIGTERM.",
    "pre_stop": "How long a container that is not native goes on before SIGTERM, for the application to end first.",
    "failure": "What becomes of a pod that can not have a sidecar: ignore starts it without one, fail refuses it.",
}
_DURATION: Final = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"}
_TEXT: Final = {"type": "string", "minLength": 1}
_AMOUNTS: Final = {"type": "object", "additionalProperties": {"anyOf": [{"type": "number"}, {"type": "string"}]}}
_FORMS: Final[dict[str, dict[str, Any]]] = {
    "image": _TEXT,
    "intercept_image": _TEXT,
    "image_pull_policy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "native": {"type": "boolean"},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS},
    },
    "policy": {
        "oneOf": [
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["config_map"],
                "properties": {"config_map": _TEXT, "key": _TEXT},
            },
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["url"],
                "properties": {"url": {"type": "string", "pattern": "^https://"}},
            },
        ]
    },
    "authority": _TEXT,
    "authority_required": {"type": "boolean"},
    "config_map": _TEXT,
    "drain": _DURATION,
    "pre_stop": _DURATION,
    "failure": {"enum": ["ignore", "fail"]},
}


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document."""
    properties = {}
    for each in structs.fields(InjectionSettings):
        properties[each.encode_name] = {"description": _MEANINGS[each.encode_name], **_FORMS[each.encode_name]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of sidecar inject and sidecar webhook",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def read_settings(file: Path) -> InjectionSettings:
    """The settings in a file. Raises InvalidDocument with everything that is wrong."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidDocument(
            [Finding(str(file), None, "", f"can not be read: {error.strerror or error}", rule_id=RuleId.UNREADABLE)]
        ) from None
    findings: list[Finding] = []
    decoder = Decoder(parse(content, str(file)), findings)
    settings = decoder.document(InjectionSettings, {})
    if settings is not None:
        _check(settings, decoder)
    if settings is None or findings:
        raise InvalidDocument(findings)
    return settings


def _check(settings: InjectionSettings, decoder: Decoder) -> None:
    policy = settings.policy
    if policy is not UNSET:
        if (policy.config_map is UNSET) == (policy.url is UNSET):
            decoder.lacking(("policy",), "must name config_map or url, one of them", RuleId.COMBINATION)
        if policy.url is not UNSET and ("policy", "key") in decoder.tree.lines:
            decoder.lacking(("policy", "key"), "goes with config_map only", RuleId.COMBINATION)
        if settings.authority is not UNSET:
            decoder.lacking(
                ("policy",), "does not go with authority, which says where the policy is", RuleId.COMBINATION
            )
    if settings.authority_required and settings.authority is UNSET:
        decoder.lacking(("authority_required",), "goes with authority only", RuleId.COMBINATION)
    for name, limit in (("drain", 3600), ("pre_stop", 300)):
        if getattr(settings, name) > limit:
            decoder.broken(
                (name,), f"must be at most {Duration(limit)}", decoder.tree.at((name,)), rule_id=RuleId.BOUNDS
            )
