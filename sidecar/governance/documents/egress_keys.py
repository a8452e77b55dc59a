"""`idempotency_key` of a destination: the contract about idempotency keys that it offers, and how it wants them.

`honours` and `retention` are settings: inside the guardrails, or refused. All else says where a key goes and what it
may look like, and unlocks nothing; a preset says it for a well-known API, and what is written beside it counts first.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.finding import RuleId
from sidecar.governance.documents.ingress_routes import FieldName
from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.governance.documents.key_presets import PRESETS, KeyCharset, PresetName
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.units import Duration
from sidecar.governance.documents.yaml import Path

MAX_KEY_CHARACTERS = 255
_HEXADECIMAL_CHARACTERS = 32
_UUID_CHARACTERS = 36

KeyLocation = Annotated[
    str, Meta(pattern=r"\A(header\Z|/)", extra={"rule": "must be header or a JSON pointer into the body, like /key"})
]
KeySource = Annotated[
    str,
    Meta(
        pattern=r"\A(/|[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}\Z)",
        extra={"rule": "must be the name of a header or a JSON pointer into the body, like /event/id"},
    ),
]


class KeyTerms(Struct, frozen=True):
    """The form of a destination's keys. `location` and `key_from` are JSON pointers, or None and a header's name."""

    header: str
    quoted: bool
    location: str | None
    max_length: int
    charset: KeyCharset
    key_from: str | None


class IdempotencyKeySettings(Document, frozen=True, kw_only=True):
    """The contract about idempotency keys that the destination offers."""

    honours: bool | UnsetType = UNSET
    retention: Duration | UnsetType = UNSET
    preset: PresetName | UnsetType = UNSET
    header: FieldName | UnsetType = UNSET
    form: Literal["bare", "quoted"] = "bare"
    location: KeyLocation | UnsetType = UNSET
    max_length: Annotated[int, Meta(ge=1, le=MAX_KEY_CHARACTERS)] | UnsetType = UNSET
    charset: KeyCharset | UnsetType = UNSET
    key_from: KeySource | UnsetType = UNSET

    @property
    def with_preset(self) -> KeyTerms:
        """The terms, those of the preset where nothing else is written."""
        preset = None if self.preset is UNSET else PRESETS[self.preset]
        header = "Idempotency-Key" if preset is None else preset.header
        location = "header" if preset is None else preset.location
        longest = MAX_KEY_CHARACTERS if preset is None else preset.max_length
        charset: KeyCharset = "visible" if preset is None else preset.charset
        location = location if self.location is UNSET else self.location
        return KeyTerms(
            header=header if self.header is UNSET else self.header,
            quoted=self.form == "quoted",
            location=None if location == "header" else location,
            max_length=longest if self.max_length is UNSET else self.max_length,
            charset=charset if self.charset is UNSET else self.charset,
            key_from=None if self.key_from is UNSET else self.key_from,
        )


def check_egress_keys(settings: IdempotencyKeySettings, here: Path, decoder: Decoder) -> None:
    """Add what is wrong with `idempotency_key`, which stands at `here`."""
    terms = settings.with_preset
    if terms.max_length < _HEXADECIMAL_CHARACTERS:
        rule = f"must be at least {_HEXADECIMAL_CHARACTERS}: a key of the sidecar's own is a UUID"
        decoder.broken((*here, "max_length"), rule, terms.max_length, RuleId.BOUNDS)
    elif terms.charset == "uuid" and terms.max_length < _UUID_CHARACTERS:
        rule = f"must be at least {_UUID_CHARACTERS} where charset is uuid: so long is one with its hyphens"
        decoder.broken((*here, "max_length"), rule, terms.max_length, RuleId.BOUNDS)
    for word in ("location", "key_from"):
        written = getattr(settings, word)
        if written is not UNSET and written.startswith("/"):
            try:
                JsonPointer.parse(written)
            except ValueError as error:
                decoder.broken((*here, word), str(error), written)
    if terms.location is not None:
        for word in ("header", "form"):
            if (*here, word) in decoder.tree.lines:
                decoder.lacking(
                    (*here, word), f"is for a key in a header: this one is in the body, at {terms.location}"
                )
        if terms.key_from == terms.location:
            decoder.broken((*here, "key_from"), "must be another place than the key's own", terms.key_from)
    elif terms.key_from is not None and terms.key_from.lower() == terms.header.lower():
        decoder.broken((*here, "key_from"), "must be another place than the key's own", terms.key_from)
