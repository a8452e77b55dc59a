"""The translation of a foreign configuration: settings by destination, and a note for every line that was looked at.

Nothing passes a guardrail: a value beyond one is brought back to it, and its note says so. Where two foreign lines
speak of one setting, the more careful value is kept, whatever their order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sidecar.engine.destination import UNLISTED
from sidecar.governance.documents.bound import written
from sidecar.governance.documents.document import INGRESS_NAME
from sidecar.governance.documents.finding import Finding, shown
from sidecar.governance.documents.route_match import RouteMatch
from sidecar.governance.documents.setting_spec import Looser
from sidecar.governance.documents.settings import SETTINGS, held
from sidecar.governance.documents.units import Duration
from sidecar.migration.foreign_document import ForeignValue

SettingValue = int | float | list[int] | list[str]

_ENDS: Final[Mapping[str, tuple[float, float]]] = {
    "timeout": (Duration(0.001), Duration(3600)),
    "idle_timeout": (Duration(0.001), Duration(86400)),
    "budget.ratio": (0, 1),
    "budget.window": (Duration(5), Duration(300)),
    "budget.min_retries": (0, 100),
    "retry.max_attempts": (1, 10),
    "breaker.failure_ratio": (0.01, 1),
    "breaker.window": (Duration(5), Duration(60)),
    "concurrency.max_in_flight": (4, 10_000),
}
"""The engine's own ends of what can be imported, where a setting has no ceiling or its neighbours want another."""

_OF_A_CALL: Final = ("timeout", "per_attempt_timeout", "idle_timeout", "retry.")
"""Settings that may differ between the routes of a destination."""


class NoteKind(StrEnum):
    """The fate of a foreign line. The words are interface."""

    TRANSLATED = "translated"
    ADJUSTED = "adjusted"
    NOT_TRANSLATED = "not_translated"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know about one foreign line.

    `key` is the last step of `field`. `setting` and `result` say what a value became; `code` names the danger of an
    unsafe one.
    """

    kind: NoteKind
    file: str
    line: int
    field: str
    key: str
    text: str
    given: str | None = None
    destination: str | None = None
    setting: str | None = None
    result: str | None = None
    code: str | None = None

    @property
    def place(self) -> str:
        """`file:line`, for terminals and editors that follow it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class ImportedSetting:
    """A value inside the guardrails, and the note of the line it comes from."""

    value: SettingValue
    note: Note

    @property
    def text(self) -> str:
        """As a document writes it."""
        if isinstance(self.value, list):
            return f"[{', '.join(map(str, sorted(self.value)))}]"
        return written(self.value)


@dataclass(slots=True)
class ImportedRoute:
    """Settings of the calls that `match` covers."""

    name: str
    match: RouteMatch
    origin: ForeignValue
    settings: dict[str, ImportedSetting] = field(default_factory=dict)


@dataclass(slots=True)
class ImportedDestination:
    """One service that is called: where it is, by which names, and what governs the calls to it.

    `attempts` has, for each dialect that retries calls to it, the most attempts it makes of one call.
    """

    name: str
    origin: ForeignValue
    endpoints: dict[str, ForeignValue] = field(default_factory=dict)
    hosts: dict[str, ForeignValue] = field(default_factory=dict)
    settings: dict[str, ImportedSetting] = field(default_factory=dict)
    routes: list[ImportedRoute] = field(default_factory=list)
    attempts: dict[str, tuple[int, ForeignValue]] = field(default_factory=dict)


class Translation:
    """Gathers what importers find. `findings` are values that are not what their own tool would accept."""

    def __init__(self) -> None:
        self.destinations: dict[str, ImportedDestination] = {}
        self.notes: list[Note] = []
        self.findings: list[Finding] = []

    def destination(self, foreign_name: str, origin: ForeignValue) -> ImportedDestination:
        """The destination of a foreign name, made where it is new."""
        name = destination_name(foreign_name)
        return self.destinations.setdefault(name, ImportedDestination(name, origin))

    def route(
        self, destination: ImportedDestination, match: RouteMatch, name: str, origin: ForeignValue
    ) -> ImportedRoute:
        """The route of `destination` for `match`, made where it is new."""
        for route in destination.routes:
            if route.match.text == match.text:
                return route
        taken = {route.name for route in destination.routes}
        wanted = destination_name(name)
        unique = next(each for each in (wanted, *(f"{wanted[:59]}-{n}" for n in range(2, 1000))) if each not in taken)
        route = ImportedRoute(unique, match, origin)
        destination.routes.append(route)
        return route

    def put(
        self,
        destination: ImportedDestination,
        setting: str,
        value: SettingValue,
        source: ForeignValue,
        *,
        route: ImportedRoute | None = None,
        why: str = "",
    ) -> None:
        """Set `setting` from `source`, inside its guardrail. `why` explains a value that is not the foreign one."""
        for_route = route if setting.startswith(_OF_A_CALL) else None
        fitted, reason = _fitted(setting, value)
        reason = "; ".join(filter(None, (why, reason)))
        place = destination.name if for_route is None else f"{destination.name} ({for_route.name})"
        kind = NoteKind.ADJUSTED if reason else NoteKind.TRANSLATED
        result = ImportedSetting(fitted, _note(kind, source, reason)).text
        note = _note(kind, source, reason, destination=place, setting=setting, result=result)
        settings = destination.settings if for_route is None else for_route.settings
        earlier = settings.get(setting)
        new = ImportedSetting(fitted, note)
        if earlier is not None and held(earlier.value) != held(fitted):
            kept = _more_careful(setting, earlier, new)
            other = new if kept is earlier else earlier
            self.notes.append(
                _note(
                    NoteKind.NOT_TRANSLATED,
                    source if other is new else None,
                    f"{setting} of {place} is {kept.text}, from {kept.note.place}: of two, the more careful is kept",
                    like=other.note,
                )
            )
            if kept is earlier:
                return
            self.notes.remove(earlier.note)
        elif earlier is not None:
            self.notes.append(note)
            return
        settings[setting] = new
        self.notes.append(note)

    def leave(self, source: ForeignValue, reason: str) -> None:
        """Note that `source` has no translation, and why. What two places inherit is noted once."""
        note = _note(NoteKind.NOT_TRANSLATED, source, reason)
        if note not in self.notes:
            self.notes.append(note)

    def warn(self, source: ForeignValue, code: str, reason: str) -> None:
        """Note that the original is unsafe at `source`. The same danger of the same line is noted once."""
        note = _note(NoteKind.UNSAFE, source, reason, code=code)
        if note not in self.notes:
            self.notes.append(note)

    def settle(self) -> None:
        """Make the settings of each destination agree with each other, and note retries in more than one layer."""
        for destination in self.destinations.values():
            for settings in (destination.settings, *(route.settings for route in destination.routes)):
                _agree(settings)
            if len(destination.attempts) > 1:
                layers = sorted(destination.attempts.items())
                product = 1
                for _, (attempts, _) in layers:
                    product *= attempts
                told = " and ".join(f"{dialect} ({attempts} attempts)" for dialect, (attempts, _) in layers)
                for _, (_, source) in layers:
                    self.warn(
                        source,
                        "layers",
                        f"calls of {destination.name} are retried by {told}: up to {product} attempts of one call; "
                        f"only one layer may retry",
                    )


def destination_name(foreign: str) -> str:
    """A foreign name as a destination or route is called: `backendA` and `backend_a` are `backend-a`, a reserved
    word gets `-service`."""  # noqa: D205, D209
    letters: list[str] = []
    for index, character in enumerate(foreign):
        if character.isascii() and character.isupper() and index and foreign[index - 1].islower():
            letters.append("-")
        letters.append(character.lower() if character.isascii() and character.isalnum() else "-")
    name = "-".join(filter(None, "".join(letters).split("-")))[:63].rstrip("-") or "unnamed"
    return f"{name}-service" if name in {UNLISTED, INGRESS_NAME} else name


def _note(
    kind: NoteKind,
    source: ForeignValue | None,
    text: str,
    *,
    destination: str | None = None,
    setting: str | None = None,
    result: str | None = None,
    code: str | None = None,
    like: Note | None = None,
) -> Note:
    if source is None:
        assert like is not None
        return Note(kind, like.file, like.line, like.field, like.key, text, like.given)
    return Note(
        kind,
        source.file,
        source.line,
        source.field,
        source.name,
        text,
        None if source.text is None else shown(source.text),
        destination,
        setting,
        result,
        code,
    )


def _fitted(setting: str, value: SettingValue) -> tuple[SettingValue, str]:
    """The value nearest to `value` that nothing refuses, and why it is another; "" where it is the same."""
    spec = SETTINGS[setting]
    bound = spec.guardrail
    if isinstance(value, list):
        if bound is None or not isinstance(bound.only, frozenset):
            return value, ""
        allowed = [word for word in value if word in bound.only]
        gone = ", ".join(str(word) for word in value if word not in bound.only)
        return (
            type(value)(allowed),  # type: ignore[arg-type]
            f"without {gone}: the guardrail of {setting} is {bound.text}" if gone else "",
        )
    low, high = _ENDS.get(setting) or spec.ceiling or (value, value)
    fitted = min(max(value, low), high)
    reason = f"{setting} must be between {low} and {high}" if fitted != value else ""
    if bound is not None and isinstance(bound.high, (int, float)) and fitted > bound.high:
        fitted, reason = bound.high, f"the guardrail of {setting} is {bound.text}"
    if bound is not None and isinstance(bound.low, (int, float)) and fitted < bound.low:
        fitted, reason = bound.low, f"the guardrail of {setting} is {bound.text}"
    return type(value)(fitted), reason


def _more_careful(setting: str, first: ImportedSetting, second: ImportedSetting) -> ImportedSetting:
    one, two = first.value, second.value
    if isinstance(one, list) or isinstance(two, list):
        return first if len(_listed(one)) <= len(_listed(two)) else second
    if SETTINGS[setting].looser is Looser.LESS:
        return first if one >= two else second
    return first if one <= two else second


def _listed(value: SettingValue) -> list[int] | list[str]:
    return value if isinstance(value, list) else []


def _agree(settings: dict[str, ImportedSetting]) -> None:
    """Raise or lower the neighbours that a value cannot be without."""
    base, longest = settings.get("retry.backoff.base"), settings.get("retry.backoff.max")
    if base is not None and base.value > _plain(longest, Duration(1)):  # type: ignore[operator]
        settings["retry.backoff.max"] = ImportedSetting(base.value, base.note)
    elif base is None and longest is not None and _plain(longest, Duration(1)) < Duration(0.025):
        settings["retry.backoff.base"] = ImportedSetting(longest.value, longest.note)
    most = settings.get("concurrency.max_in_flight")
    if most is not None and _plain(most, 20) < 20:
        settings["concurrency.initial"] = ImportedSetting(most.value, most.note)


def _plain(setting: ImportedSetting | None, default: float) -> float:
    return setting.value if setting is not None and isinstance(setting.value, (int, float)) else default


def ordered(notes: Iterable[Note]) -> list[Note]:
    """By file and line; of one line, what is unsafe first."""
    kinds = [NoteKind.UNSAFE, NoteKind.NOT_TRANSLATED, NoteKind.ADJUSTED, NoteKind.TRANSLATED]
    return sorted(notes, key=lambda note: (note.file, note.line, kinds.index(note.kind), note.field))
