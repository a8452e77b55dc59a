"""Idempotency keys of well-known APIs, from what their makers publish: `idempotency_key: {preset: NAME}`.

A preset says where the key goes and what it may look like. Whether the destination honours keys, and for how long,
stays a governed setting; the retention that is published bounds it. docs/idempotency.md has the table, with sources.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

KeyCharset = Literal["visible", "url", "alphanumeric", "uuid"]
"""Characters of a key: visible ASCII; letters, digits, `-` and `_`; letters and digits; nothing but a UUID."""
PresetName = Literal[
    "adyen",
    "amazon-pay",
    "checkout-com",
    "paypal",
    "qonto",
    "square",
    "standard-webhooks",
    "stripe",
    "truelayer",
    "worldline-direct",
]

_DAY: Final = 86400.0


class KeyPreset(Struct, frozen=True):
    """The published terms of one API. `location` is a JSON pointer, or `header`; `max_length` is in characters.

    `retention` is in seconds, None where it is not published, or differs from call to call.
    """

    header: str
    max_length: int
    retention: float | None
    source: str
    location: str = "header"
    charset: KeyCharset = "visible"
    note: str = ""
    length_published: bool = True
    """False: `max_length` is what a UUID needs, or what there is room for."""


PRESETS: Final[Mapping[str, KeyPreset]] = {
    "adyen": KeyPreset("Idempotency-Key", 64, 7 * _DAY, "https://docs.adyen.com/development-resources/api-idempotency"),
    "amazon-pay": KeyPreset(
        "x-amz-pay-idempotency-key",
        32,
        None,
        "https://developer.amazon.com/docs/amazon-pay-api-v2/idempotency.html",
        charset="url",
        note="kept without end; for POST only",
    ),
    "checkout-com": KeyPreset(
        "Cko-Idempotency-Key",
        36,
        _DAY,
        "https://www.checkout.com/docs/developer-resources/api/idempotency",
        note="keeps what was processed: an error is run again; 120 s in old sandboxes",
        length_published=False,
    ),
    "paypal": KeyPreset(
        "PayPal-Request-Id",
        36,
        None,
        "https://developer.paypal.com/reference/guidelines/idempotency/",
        note="not every call takes it; length and retention stand in each call's reference: 108 and 6h for orders",
        length_published=False,
    ),
    "qonto": KeyPreset(
        "X-Qonto-Idempotency-Key",
        255,
        1800.0,
        "https://docs.qonto.com/get-started/general/idempotent-requests",
        length_published=False,
    ),
    "square": KeyPreset(
        "Idempotency-Key",
        45,
        None,
        "https://developer.squareup.com/docs/build-basics/common-api-patterns/idempotency",
        location="/idempotency_key",
        note="a field of the JSON body; retention is not published",
    ),
    "standard-webhooks": KeyPreset(
        "webhook-id",
        255,
        None,
        "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        charset="url",
        note="with `key_from`, the event's own id; its signature covers the header: a service that signs sets it",
        length_published=False,
    ),
    "stripe": KeyPreset("Idempotency-Key", 255, _DAY, "https://docs.stripe.com/api/idempotent_requests"),
    "truelayer": KeyPreset(
        "Idempotency-Key",
        255,
        30 * _DAY,
        "https://docs.truelayer.com/docs/idempotency-for-payment-requests",
        note="its signature covers the header: let the service make the key",
        length_published=False,
    ),
    "worldline-direct": KeyPreset(
        "X-GCS-Idempotence-Key",
        40,
        _DAY,
        "https://docs.direct.worldline-solutions.com/en/integration/api-developer-guide/idempotent-requests",
    ),
}
