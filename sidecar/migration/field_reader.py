"""Reads the fields of one foreign object, remembers which were read, and notes those that were not."""

from collections.abc import Mapping
from typing import Final

from sidecar.governance.documents.units import Duration
from sidecar.migration.foreign_document import ForeignValue, canonical, wrong
from sidecar.migration.foreign_duration import duration
from sidecar.migration.translation import Translation

_NO_EQUAL: Final = "has no equal here"


class FieldReader:
    """One object. A value of the wrong type is a finding, and read as absent."""

    def __init__(self, value: ForeignValue, translation: Translation, *, spring: bool = False) -> None:
        self.value = value
        self._translation = translation
        self._spring = spring
        self._taken: set[str] = set()
        if not value.is_mapping:
            translation.findings.append(wrong(value, "must be a mapping"))

    def take(self, *names: str) -> ForeignValue | None:
        """The value under the first of `names` that is given; None where a variable without a default decides it."""
        self._taken.update(map(canonical, names))
        value = self.value.get(*names)
        variable = None if value is None else value.placeholder
        if value is None or variable is None:
            return value
        if "${" in (value.text or ""):
            self._translation.leave(value, f"depends on {variable}, which is not known here")
            return None
        self._translation.leave(value, f"depends on {variable}: its default was taken")
        return value

    def duration(self, *names: str) -> tuple[Duration, ForeignValue] | None:
        """A duration."""
        value = self.take(*names)
        if value is None:
            return None
        seconds = duration(value.text or "", bare_milliseconds=self._spring)
        if seconds is None:
            self._translation.findings.append(wrong(value, "must be a duration, like 250ms, 1.5s or 1m"))
            return None
        return seconds, value

    def whole(self, *names: str) -> tuple[int, ForeignValue] | None:
        """A whole number from 0 on."""
        value = self.take(*names)
        if value is None:
            return None
        number = value.number
        if number is None or number < 0 or number != number.to_integral_value():
            self._translation.findings.append(wrong(value, "must be a whole number from 0 on"))
            return None
        return int(number), value

    def number(self, *names: str) -> tuple[float, ForeignValue] | None:
        """A number from 0 on."""
        value = self.take(*names)
        if value is None:
            return None
        if value.number is None or value.number < 0:
            self._translation.findings.append(wrong(value, "must be a number from 0 on"))
            return None
        return float(value.number), value

    def boolean(self, *names: str) -> tuple[bool, ForeignValue] | None:
        """`true` or `false`."""
        value = self.take(*names)
        if value is None:
            return None
        if value.boolean is None:
            self._translation.findings.append(wrong(value, "must be true or false"))
            return None
        return value.boolean, value

    def text(self, *names: str) -> tuple[str, ForeignValue] | None:
        """Text that is not empty."""
        value = self.take(*names)
        if value is None:
            return None
        if not value.text:
            self._translation.findings.append(wrong(value, "must be text"))
            return None
        return value.text, value

    def ignore(self, *names: str) -> None:
        """Count fields as read that have nothing to do with what is imported."""
        self._taken.update(map(canonical, names))

    def leave_rest(self, reasons: Mapping[str, str]) -> None:
        """Note every field that was not read, with its reason by canonical name."""
        for key, value in self.value.entries().items():
            if canonical(key) not in self._taken and not value.is_null:
                self._translation.leave(value, reasons.get(canonical(key), _NO_EQUAL))
