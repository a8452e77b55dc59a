"""A pod, and the changes that give it a sidecar or take it out again.

An injection leaves a record in the annotation `sidecar.io/injected`: what was made for it and what was replaced. By it
the pod from before is had again, exactly; injecting anew is taking out the old one first.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import NoneType
from typing import Any, Final, TypeGuard

from msgspec import UNSET

from sidecar import __version__
from sidecar.governance.documents.finding import shown
from sidecar.governance.documents.units import Duration
from sidecar.inject.patch import (
    AddItem,
    NoSuchPath,
    Operation,
    Path,
    Plain,
    RemoveItem,
    RemoveKey,
    Replace,
    SetKey,
    applied,
    at,
)
from sidecar.inject.settings import InjectionSettings
from sidecar.inject.workload import FIRST_OWN_PORT, INJECTED, OPT_IN, PodProblem, Workload, annotation, workload_of
from sidecar.net import Address, Endpoint

CONTAINER: Final = "retry-sidecar"
INTERCEPT: Final = "retry-sidecar-intercept"
"""The init container that writes the rules of `sidecar intercept`."""
TRANSPARENT_PORT: Final = 16007
ADMIN_PORT: Final = 16000
EGRESS_PORT: Final = 16001
METRICS_PORT: Final = 16002
INGRESS_PORT: Final = 16006
_UID: Final = 65532
_GRACE_SECONDS: Final = 30
"""Kubernetes' wait after SIGTERM where a pod gives none."""

_CONFIG: Final = "retry-sidecar-config"
_PLATFORM: Final = "retry-sidecar-platform"
_TMP: Final = "retry-sidecar-tmp"
_CONTAINERS: Final = frozenset({CONTAINER, INTERCEPT})
_VOLUMES: Final = frozenset({_CONFIG, _PLATFORM, _TMP})
_CONFIG_FOLDER: Final = "/etc/retry-sidecar"
_PLATFORM_FOLDER: Final = "/etc/sidecar"
_TOKEN_FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder

_PROXY_NAMES: Final = ("HTTP_PROXY", "http_proxy")
_NO_PROXY_NAMES: Final = ("NO_PROXY", "no_proxy")
_NO_PROXY: Final = "127.0.0.1,localhost,::1"
_URL: Final = re.compile(r"(https?://[^/?#@\s]+)([/?][^#\s]*)?")

_METADATA: Path = ("metadata",)
_ANNOTATIONS: Path = ("metadata", "annotations")


@dataclass(slots=True)
class Injection:
    """The change to a pod: `operations`, unless there are `problems`. `skipped` says why it is left as it is."""

    operations: list[Operation] = field(default_factory=list)
    problems: list[PodProblem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: str | None = None


@dataclass(slots=True)
class _Record:
    """The annotation `sidecar.io/injected`."""

    version: str = __version__
    created: list[list[Any]] = field(default_factory=list)
    """Mappings and lists that were not there."""
    added: list[list[Any]] = field(default_factory=list)
    """Variables of the application that were not there, each by the list and its name."""
    replaced: list[dict[str, Any]] = field(default_factory=list)
    """Values from before: `path`, `value`, `text` where a file wrote it in a way of its own, and `to`, what it became.

    What was changed since by others is not changed back; `to` is left out for a list or mapping in the place of null.
    """

    def text(self) -> str:
        parts = {"version": self.version, "created": self.created, "added": self.added, "replaced": self.replaced}
        return json.dumps({name: part for name, part in parts.items() if part}, separators=(",", ":"))


def inject(
    pod: Plain,
    settings: InjectionSettings,
    *,
    name: str,
    written: Callable[[Path, Plain], str | None] | None = None,
) -> Injection:
    """The changes that give a pod (or a pod template), which has none, a sidecar.

    `name` is the service's where neither annotation nor label says it. `written` tells how a file writes
    the scalar at a path, where that is not had again once another value is in its place.
    """
    return _Injector(pod, settings, name, written or _unwritten).injection()


def uninject(pod: Plain) -> Injection:
    """The changes that take the sidecar out of a pod; none where it has none."""
    found = Injection()
    annotations = _mapping(pod, _ANNOTATIONS)
    if INJECTED not in annotations:
        return found
    try:
        record = _record(annotations[INJECTED])
    except ValueError:
        rule = "is not a record of this program: take the container out by hand, and this annotation"
        found.problems.append(PodProblem((*_ANNOTATIONS, INJECTED), rule))
        return found
    found.operations = _undone(pod, record)
    return found


def opted_out(pod: Plain) -> bool:
    """Whether the pod's own label says that it gets no sidecar."""
    return bool(_mapping(pod, ("metadata", "labels")).get(OPT_IN) == "disabled")


def workload_name(pod: Plain) -> str:
    """The name of what a pod is of: of its Deployment, where its ReplicaSet tells, else of its owner, else its own."""
    metadata = _mapping(pod, _METADATA)
    owners = metadata.get("ownerReferences")
    owner = owners[0] if isinstance(owners, list) and owners and isinstance(owners[0], dict) else {}
    name = owner.get("name") or metadata.get("name") or metadata.get("generateName")
    text = name.rstrip("-") if isinstance(name, str) else ""
    revision = _mapping(pod, ("metadata", "labels")).get("pod-template-hash")
    return text.removesuffix(f"-{revision}") if isinstance(revision, str) and revision else text


class _Injector:
    def __init__(
        self,
        pod: Plain,
        settings: InjectionSettings,
        name: str,
        written: Callable[[Path, Plain], str | None],
    ) -> None:
        self._pod = pod
        self._settings = settings
        self._name = name
        self._written = written
        self._found = Injection()
        self._record = _Record()
        self._made: set[Path] = set()

    def injection(self) -> Injection:
        found = self._found
        if opted_out(self._pod):
            found.skipped = f"its label {OPT_IN} is disabled"
            return found
        self._check_shape()
        if found.problems:
            return found
        workload = workload_of(_mapping(self._pod, _ANNOTATIONS), found.problems)
        native = self._settings.native if workload.native is None else workload.native
        self._check_pod(native=native)
        self._check_policy(workload)
        self._check_interception(workload)
        if found.problems:
            return found
        upstreams = self._rewrite_env(workload, native=native)
        if workload.http_proxy:
            self._proxy(workload, native=native)
        ports = self._own_ports(workload, upstreams)
        for name in workload.own_ports.keys() - ports.keys():
            self._problem(annotation("listen"), "names a destination that neither upstreams nor env name", name)
        shared = [address.port for address in _shared_listeners(workload)]
        transparent = (TRANSPARENT_PORT,) if workload.transparent else ()
        ours = (ADMIN_PORT, *shared, METRICS_PORT, *transparent, *ports.values(), *self._ingress_ports(workload))
        self._check_ports(set(ours))
        if found.problems:
            return found
        container = self._container(workload, upstreams, ports, native=native)
        if workload.transparent:
            # Behind a native sidecar and before all else; a plain one is not there yet for init containers.
            self._add_item(("spec", "initContainers"), self._interceptor(workload), first=native)
        self._add_item(("spec", "initContainers" if native else "containers"), container, first=True)
        for volume in self._volumes():
            self._add_item(("spec", "volumes"), volume)
        self._warn_of_grace(workload, native=native)
        self._leave_record()
        return found

    # Judging

    def _check_shape(self) -> None:
        spec = self._pod.get("spec") if isinstance(self._pod, dict) else None
        if not isinstance(spec, dict):
            self._problem(("spec",), "must be a mapping")
            return
        for path in (_METADATA, _ANNOTATIONS, ("metadata", "labels")):
            value = _at(self._pod, path)
            if value is not None and not isinstance(value, dict):
                self._problem(path, "must be a mapping", value)
                return
        for key in ("containers", "initContainers", "volumes"):
            items = spec.get(key)
            if items is None and key != "containers":
                continue
            if not _mappings(items):
                self._problem(("spec", key), "must be a list of mappings", items)
            elif key != "volumes":
                self._check_containers(key, items)
        if not spec.get("containers") and not self._found.problems:
            self._problem(("spec", "containers"), "must not be empty")

    def _check_containers(self, key: str, items: list[dict[str, Plain]]) -> None:
        for index, item in enumerate(items):
            if not isinstance(item.get("name"), str):
                self._problem(("spec", key, index), "must have a name")
                continue
            for part in ("env", "ports"):
                entries = item.get(part)
                if entries is not None and not _mappings(entries):
                    self._problem(("spec", key, index, part), "must be a list of mappings", entries)

    def _check_pod(self, *, native: bool) -> None:
        spec = self._pod["spec"]
        if spec.get("hostNetwork") is True:
            rule = "does not go with a sidecar: its ports would be the node's, and another pod's sidecar has them"
            self._problem(("spec", "hostNetwork"), rule, spec["hostNetwork"])
        operating_system = spec.get("os")
        if isinstance(operating_system, dict) and operating_system.get("name") == "windows":
            self._problem(("spec", "os", "name"), "must be linux for a sidecar", "windows")
        for key, item in self._all_containers():
            if item["name"] in _CONTAINERS:
                rule = f"is the name of a container of the sidecar's, which {INJECTED} does not know of: rename it"
                self._problem(("spec", key, item["name"], "name"), rule, item["name"])
        for volume in spec.get("volumes") or ():
            if volume.get("name") in _VOLUMES:
                rule = f"is a name of the sidecar's, which {INJECTED} does not know of: rename it"
                self._problem(("spec", "volumes", volume["name"], "name"), rule, volume["name"])
        restart = spec.get("restartPolicy", "Always")
        if restart != "Always" and not native:
            rule = "does not go with a container that keeps running: the pod would never end; have it native"
            self._problem(("spec", "restartPolicy"), rule, restart)

    def _check_policy(self, workload: Workload) -> None:
        if "SIDECAR_POLICY" in workload.variables and self._settings.authority is not UNSET:
            rule = (
                f"is not for the workload to say: the platform's ConfigMap {self._settings.authority} names the policy"
            )
            self._problem(annotation("policy"), rule, workload.variables["SIDECAR_POLICY"])

    def _check_interception(self, workload: Workload) -> None:
        if not workload.transparent:
            return
        pod = _mapping(self._pod, ("spec", "securityContext")).get("runAsUser")
        for key, item in self._all_containers():
            own = item.get("securityContext")
            user = own.get("runAsUser", pod) if isinstance(own, dict) else pod
            if user == _UID:
                rule = "is the sidecar's own user, whose connections are not brought to it: run as another"
                self._problem(("spec", key, item["name"], "securityContext", "runAsUser"), rule, user)

    def _check_ports(self, ours: set[int]) -> None:
        for key, item in self._all_containers():
            for index, port in enumerate(item.get("ports") or ()):
                number = port.get("containerPort")
                if isinstance(number, int) and number in ours:
                    path = ("spec", key, item["name"], "ports", index, "containerPort")
                    self._problem(path, "is a port of the sidecar's, and all containers of a pod share them", number)

    def _warn_of_grace(self, workload: Workload, *, native: bool) -> None:
        grace = self._pod["spec"].get("terminationGracePeriodSeconds", _GRACE_SECONDS)
        drain = float(Duration.parse(workload.variables.get("SIDECAR_DRAIN_TIMEOUT", str(self._settings.drain))))
        needed = drain + (0.0 if native else float(self._settings.pre_stop))
        if isinstance(grace, int) and grace < needed:
            self._found.warnings.append(
                f"terminationGracePeriodSeconds is {grace}, and draining may take {needed:g} s: "
                "what is in flight then is cut off"
            )

    # The application's variables

    def _rewrite_env(self, workload: Workload, *, native: bool) -> dict[str, list[str]]:
        """Lead variables of the application to the sidecar; the upstreams by name, those of the variables included."""
        upstreams: dict[str, list[str]] = {}
        for name, url in workload.upstreams:
            upstreams.setdefault(name, []).append(url)
        given = set(upstreams)
        found: dict[str, list[tuple[Path, str, str]]] = {}
        for variable, destination in workload.env.items():
            found[variable] = places = list(self._urls(variable, native=native))
            for path, origin, _ in places:
                known = upstreams.setdefault(destination, [])
                if destination not in given and known not in ([], [origin]):
                    self._problem(path, f"leads elsewhere than other variables of {destination}, to {known[0]}", origin)
                elif destination not in given:
                    upstreams[destination] = [origin]
        ports = self._own_ports(workload, upstreams)
        for variable, destination in workload.env.items():
            for path, _, rest in found[variable]:
                self._replace(path, f"http://127.0.0.1:{ports[destination]}{rest}")
        return upstreams

    def _urls(self, variable: str, *, native: bool) -> Iterator[tuple[Path, str, str]]:
        """Each place that has the variable's value, and its URL: the origin, and what follows it."""
        seen = False
        for key, item in self._served_containers(native=native):
            path = ("spec", key, item["name"], "env", variable)
            for entry in item.get("env") or ():
                if entry.get("name") != variable:
                    continue
                seen = True
                value = entry.get("value")
                if not isinstance(value, str):
                    rule = "must have a value of its own to be rewritten: name the upstream in sidecar.io/upstreams,"
                    self._problem(path, f"{rule} and set the variable to the sidecar's port", variable)
                    break
                match = _URL.fullmatch(value)
                try:
                    if match is None:
                        raise ValueError("must be a URL like http://host:port/path, without user or fragment")
                    yield (*path, "value"), str(Endpoint.parse(match[1])), match[2] or ""
                except ValueError as error:
                    self._problem((*path, "value"), f"{error}, to be rewritten", value)
                break
        if not seen:
            self._problem(annotation("env"), "names a variable that no container has", variable)

    def _proxy(self, workload: Workload, *, native: bool) -> None:
        port = next((each.port for each in _shared_listeners(workload) if ":" not in each.host), EGRESS_PORT)
        no_proxy = ",".join(filter(None, (_NO_PROXY, workload.no_proxy)))
        for key, item in self._served_containers(native=native):
            there = {entry.get("name") for entry in item.get("env") or ()}
            env = ("spec", key, item["name"], "env")
            for name in _PROXY_NAMES:
                if name in there:
                    rule = "is there already, and sidecar.io/http-proxy would take its place: remove one of them"
                    self._problem((*env, name), rule, name)
                else:
                    self._add_env(env, name, f"http://127.0.0.1:{port}")
            for name in _NO_PROXY_NAMES:
                if name not in there:
                    self._add_env(env, name, no_proxy)

    # The container

    def _own_ports(self, workload: Workload, upstreams: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """A port of its own for each destination: the one it is given, else one in the order of the annotations."""
        names = dict.fromkeys((*upstreams, *workload.env.values()))
        taken = {*workload.own_ports.values(), *(address.port for address in workload.listen)}
        free = (port for port in count(FIRST_OWN_PORT) if port not in taken)
        return {name: workload.own_ports.get(name) or next(free) for name in names}

    def _ingress_ports(self, workload: Workload) -> tuple[int, ...]:
        return (INGRESS_PORT,) if "SIDECAR_INGRESS_APP" in workload.variables else ()

    def _interceptor(self, workload: Workload) -> dict[str, Plain]:
        """The init container that has calls brought to the sidecar: root, with one capability, for a moment."""
        numbers = ",".join(map(str, workload.transparent))
        settings = self._settings
        own = workload.image or settings.image
        return {
            "name": INTERCEPT,
            "image": own if settings.intercept_image is UNSET else settings.intercept_image,
            "imagePullPolicy": self._settings.image_pull_policy,
            "args": ["intercept", "--ports", numbers, "--uid", str(_UID), "--to", str(TRANSPARENT_PORT)],
            "resources": self._resources(workload),
            "securityContext": {
                "runAsNonRoot": False,
                "runAsUser": 0,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }

    def _variables(
        self, workload: Workload, upstreams: Mapping[str, Sequence[str]], ports: Mapping[str, int]
    ) -> dict[str, str]:
        settings = self._settings
        variables = {
            "SIDECAR_SERVICE": _service(self._pod, self._name),
            "SIDECAR_CONFIG": f"{_CONFIG_FOLDER}/sidecar.yaml",
            "SIDECAR_CONFIG_OPTIONAL": "true",
            "SIDECAR_METRICS_LISTEN": f"[::]:{METRICS_PORT}",
            "SIDECAR_DRAIN_TIMEOUT": str(settings.drain),
        }
        if upstreams:
            urls = [f"{name}={url}" for name, several in upstreams.items() for url in several]
            own = [f"{name}=127.0.0.1:{ports[name]}" for name in upstreams]
            variables["SIDECAR_UPSTREAMS"] = " ".join(urls)
            variables["SIDECAR_LISTEN"] = " ".join((*_shared_listeners(workload), *own))
        elif workload.listen:
            variables["SIDECAR_LISTEN"] = " ".join(workload.listen)
        if workload.transparent:
            variables["SIDECAR_TRANSPARENT_LISTEN"] = f"127.0.0.1:{TRANSPARENT_PORT} [::1]:{TRANSPARENT_PORT}"
        if settings.policy is not UNSET and settings.policy.config_map is not UNSET:
            variables["SIDECAR_POLICY"] = f"{_PLATFORM_FOLDER}/{settings.policy.key}"
        elif settings.policy is not UNSET and settings.policy.url is not UNSET:
            variables["SIDECAR_POLICY"] = settings.policy.url
            variables["SIDECAR_POLICY_CACHE"] = "/tmp/policy"  # noqa: S108 - a volume of the container's own
        return variables | workload.variables

    def _container(
        self,
        workload: Workload,
        upstreams: Mapping[str, Sequence[str]],
        ports: Mapping[str, int],
        *,
        native: bool,
    ) -> dict[str, Plain]:
        settings = self._settings
        numbers = (METRICS_PORT, *self._ingress_ports(workload))
        container: dict[str, Plain] = {
            "name": CONTAINER,
            "image": workload.image or settings.image,
            "imagePullPolicy": settings.image_pull_policy,
            "args": ["run"],
        }
        if native:
            container["restartPolicy"] = "Always"
        variables = self._variables(workload, upstreams, ports)
        container["env"] = [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            *({"name": name, "value": value} for name, value in variables.items()),
        ]
        container["ports"] = [{"containerPort": number, "protocol": "TCP"} for number in numbers]
        container["resources"] = self._resources(workload)
        container["startupProbe"] = _probe("/readyz", periodSeconds=1, failureThreshold=60)
        container["livenessProbe"] = _probe("/livez", periodSeconds=10, timeoutSeconds=5, failureThreshold=6)
        if "SIDECAR_INGRESS_APP" in workload.variables:
            container["readinessProbe"] = _probe("/readyz", periodSeconds=5)
        if not native:
            container["lifecycle"] = self._lifecycle()
        container["securityContext"] = {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        mounts: list[dict[str, Plain]] = [{"name": _CONFIG, "mountPath": _CONFIG_FOLDER, "readOnly": True}]
        if self._platform_sources():
            mounts.append({"name": _PLATFORM, "mountPath": _PLATFORM_FOLDER, "readOnly": True})
        mounts.append({"name": _TMP, "mountPath": "/tmp"})  # noqa: S108 - a volume of the container's own
        # A mount of ours at this place keeps the service account's token out of the container.
        mounts.append({"name": _TMP, "mountPath": _TOKEN_FOLDER, "subPath": "none", "readOnly": True})
        container["volumeMounts"] = mounts
        return container

    def _lifecycle(self) -> dict[str, Plain]:
        """Of a container beside the others: they start when it is ready, and it is told to end after them.

        The kubelet starts containers one after the other and waits for `postStart`; it sends SIGTERM after `preStop`.
        """
        ready = f"until sidecar health --address 127.0.0.1:{METRICS_PORT}; do sleep 0.2; done"
        return {
            "postStart": {"exec": {"command": ["sh", "-c", ready]}},
            "preStop": {"exec": {"command": ["sleep", f"{float(self._settings.pre_stop):g}"]}},
        }

    def _resources(self, workload: Workload) -> dict[str, Plain]:
        resources: dict[str, dict[str, str]] = {
            "requests": dict(self._settings.resources.requests),
            "limits": dict(self._settings.resources.limits),
        }
        for (kind, name), amount in workload.resources.items():
            resources[kind][name] = amount
        return {kind: amounts for kind, amounts in resources.items() if amounts}

    def _platform_sources(self) -> list[dict[str, Plain]]:
        settings = self._settings
        if settings.authority is not UNSET:
            return [{"configMap": {"name": settings.authority, "optional": not settings.authority_required}}]
        if settings.policy is not UNSET and settings.policy.config_map is not UNSET:
            return [{"configMap": {"name": settings.policy.config_map, "optional": True}}]
        return []

    def _volumes(self) -> Iterator[dict[str, Plain]]:
        yield {"name": _CONFIG, "configMap": {"name": self._settings.config_map, "optional": True}}
        sources = self._platform_sources()
        if sources:
            yield {"name": _PLATFORM, "projected": {"sources": sources}}
        yield {"name": _TMP, "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}

    # Changes, and their record

    def _replace(self, path: Path, value: Plain) -> None:
        before = {"path": list(path), "value": at(self._pod, path)}
        text = self._written(path, value)
        if text is not None:
            before["text"] = text
        if isinstance(value, str):
            before["to"] = value
        self._record.replaced.append(before)
        self._found.operations.append(Replace(path, value))

    def _add_env(self, env: Path, name: str, value: str) -> None:
        self._add_item(env, {"name": name, "value": value})
        self._record.added.append([list(env), name])

    def _add_item(self, path: Path, item: Plain, *, first: bool = False) -> None:
        if path in self._made or _at(self._pod, path) is not None:
            self._found.operations.append(AddItem(path, item, first))
        else:
            self._make(path, [item])

    def _make(self, path: Path, value: Plain) -> None:
        """Say something where nothing is said, or null."""
        self._made.add(path)
        try:
            at(self._pod, path)
        except NoSuchPath:
            self._record.created.append(list(path))
            self._found.operations.append(SetKey(path[:-1], str(path[-1]), value))
        else:
            self._replace(path, value)

    def _leave_record(self) -> None:
        """The annotation, in mappings that are there or are made for it. The record tells of those, too."""
        missing = next((path for path in (_METADATA, _ANNOTATIONS) if _at(self._pod, path) is None), None)
        if missing is None:
            self._found.operations.append(SetKey(_ANNOTATIONS, INJECTED, self._record.text()))
            return
        operations = len(self._found.operations)
        self._make(missing, None)
        value: Plain = {INJECTED: self._record.text()}
        if missing == _METADATA:
            value = {"annotations": value}
        last = self._found.operations.pop()
        assert len(self._found.operations) == operations
        match last:
            case SetKey(path, key):
                self._found.operations.append(SetKey(path, key, value))
            case _:
                self._found.operations.append(Replace(missing, value))

    def _all_containers(self) -> Iterator[tuple[str, dict[str, Plain]]]:
        for key in ("initContainers", "containers"):
            for item in self._pod["spec"].get(key) or ():
                yield key, item

    def _served_containers(self, *, native: bool) -> Iterator[tuple[str, dict[str, Plain]]]:
        """Those that find the sidecar there: a native one is ready before other init containers start."""
        return ((key, item) for key, item in self._all_containers() if native or key == "containers")

    def _problem(self, path: Path, rule: str, value: object = None) -> None:
        self._found.problems.append(PodProblem(path, rule, None if value is None else shown(value)))


def _shared_listeners(workload: Workload) -> list[Address]:
    """The listeners of requests to any destination."""
    return workload.listen or [Address("127.0.0.1", EGRESS_PORT), Address("::1", EGRESS_PORT)]


def _undone(pod: Plain, record: _Record) -> list[Operation]:
    """The operations that take an injection out, the last change first."""
    created = {tuple(path) for path in record.created}
    operations: list[Operation] = []

    def without(path: Path, ours: Callable[[str], bool]) -> None:
        items = _at(pod, path)
        if not isinstance(items, list):
            return
        found = [item.get("name") for item in items if isinstance(item, dict)]
        names = [name for name in found if isinstance(name, str) and ours(name)]
        if path in created and len(names) == len(items):
            operations.append(RemoveKey(path[:-1], str(path[-1])))
        elif path not in replaced:
            operations.extend(RemoveItem(path, name) for name in names)

    replaced = {tuple(each["path"]): each for each in record.replaced}
    for key in ("initContainers", "containers"):
        without(("spec", key), lambda name: name in _CONTAINERS)
    without(("spec", "volumes"), lambda name: name in _VOLUMES)
    added: dict[Path, set[str]] = {}
    for path, name in record.added:
        added.setdefault(tuple(path), set()).add(name)
    for env, names in added.items():
        without(env, lambda name, names=names: name in names)  # type: ignore[misc]
    annotations = _mapping(pod, _ANNOTATIONS)
    alone = len(annotations) == 1
    if alone and _METADATA in created and len(pod["metadata"]) == 1:
        operations.append(RemoveKey((), "metadata"))
    elif alone and _ANNOTATIONS in created:
        operations.append(RemoveKey(_METADATA, "annotations"))
    elif not (alone and (_ANNOTATIONS in replaced or _METADATA in replaced)):
        operations.append(RemoveKey(_ANNOTATIONS, INJECTED))
    for path, before in replaced.items():
        now = _at(pod, path)
        if now is not None and before.get("to", now) == now:
            operations.append(Replace(path, before["value"], before.get("text")))
    return operations


def _record(text: object) -> _Record:
    """Raises ValueError for what this program did not write."""
    try:
        parts = json.loads(text) if isinstance(text, str) else None
        if not isinstance(parts, dict):
            raise TypeError("not a mapping")
        record = _Record(**parts)
        for path in (*record.created, *([*path, name] for path, name in record.added)):
            _check_path(path)
        for each in record.replaced:
            _check_path(each["path"])
            _ = each["value"]
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return record


def _check_path(path: object) -> None:
    if not isinstance(path, list) or not path or not all(type(step) in (str, int) for step in path):
        raise ValueError("not a path")


def _unwritten(_path: Path, _value: Plain) -> None:
    return None


def _mappings(items: Plain) -> TypeGuard[list[dict[str, Plain]]]:
    """Whether it is a list of mappings, each with text for its name if it has one."""
    return isinstance(items, list) and all(
        isinstance(item, dict) and isinstance(item.get("name", ""), str | NoneType) for item in items
    )


def _probe(path: str, **times: int) -> dict[str, Plain]:
    return {"httpGet": {"path": path, "port": METRICS_PORT, "scheme": "HTTP"}, **times}


def _service(pod: Plain, name: str) -> str:
    labels = _mapping(pod, ("metadata", "labels"))
    for label in ("app.kubernetes.io/name", "app"):
        if isinstance(labels.get(label), str) and labels[label]:
            return str(labels[label])
    return name or "service"


def _at(value: Plain, path: Path) -> Plain:
    """The value at a path; None where there is none."""
    try:
        return at(value, path)
    except NoSuchPath:
        return None


def _mapping(pod: Plain, path: Path) -> dict[str, Plain]:
    found = _at(pod, path)
    return found if isinstance(found, dict) else {}


def injected(pod: Plain, found: Injection) -> Plain:
    """The pod with the changes made."""
    return applied(pod, found.operations)
