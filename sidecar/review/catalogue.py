"""The kinds of findings of the gate: why each is refused and what mends it. docs/gate is made from here."""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["error", "note"]


@dataclass(frozen=True, slots=True)
class GateFindingKind:
    """One kind. `id` is interface. `before` breaks the rule, `after` is it mended: both are entries of `paths`."""

    id: str
    level: Level
    summary: str
    why: str
    mend: str
    before: str = ""
    after: str = ""

    @property
    def advice(self) -> str:
        """The remedy, as reports call it."""
        return self.mend

    @property
    def note(self) -> bool:
        """Whether its findings refuse nothing."""
        return self.level == "note"


_KEY = """\
  /v1/payments:
    post:
      operationId: createPayment
      x-idempotency: {strategy: key, retention: 24h}
      parameters:
        - {name: Idempotency-Key, in: header, required: true, schema: {type: string, maxLength: 255}}
      responses:
        "201": {description: Created}
        "409": {description: The first request with this key is still running}
        "422": {description: The key was used for another request}
"""

_NATURAL = """\
  /v1/orders:
    post:
      operationId: createOrder
      x-idempotency: {strategy: natural-key, field: /reference}
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [reference]
              properties: {reference: {type: string}}
      responses: {"201": {description: Created}}
"""

_TRANSFER = """\
  /v1/transfers:
    post:
      operationId: createTransfer
      x-idempotency: {strategy: [key, ledger], retention: 24h, ledger: /end_to_end_id}
      parameters:
        - {name: Idempotency-Key, in: header, required: true, schema: {type: string, maxLength: 255}}
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [end_to_end_id]
              properties: {end_to_end_id: {type: string}}
      responses:
        "201": {description: Created}
        "409": {description: The first request with this key is still running, or its end_to_end_id is posted}
        "422": {description: The key was used for another request}
"""

_CONDITIONAL = """\
  /v1/accounts/{id}:
    patch:
      operationId: updateAccount
      x-idempotency: {strategy: conditional}
      parameters:
        - {name: If-Match, in: header, required: true, schema: {type: string}}
      responses: {"200": {description: Changed}, "412": {description: The version is not the current one}}
"""

_CALLBACK = """\
  /v1/subscriptions:
    put:
      operationId: putSubscription
      callbacks:
        paid:
          "{$request.body#/url}":
            post:
              operationId: onPaid
              x-idempotency: {strategy: event-id, field: /id, delivery: at-least-once}
              requestBody:
                required: true
                content:
                  application/json:
                    schema: {type: object, required: [id], properties: {id: {type: string}}}
              responses: {"204": {description: Taken}}
      responses: {"200": {description: Stored}}
"""

_SEND = """\
  /v1/emails:
    post:
      operationId: sendEmail
      x-idempotency: {strategy: send-key, field: "header:Idempotency-Key", retention: 24h}
      parameters:
        - {name: Idempotency-Key, in: header, required: true, schema: {type: string, maxLength: 255}}
      responses: {"202": {description: Accepted}}
"""

_NONE = """\
  /v1/payments:
    post:
      operationId: createPayment
      x-idempotency: {strategy: none}
      responses: {"201": {description: Created}}
"""

_GET = """\
  /v1/payments/{id}/cancel:
    get:
      operationId: cancelPayment
      responses: {"200": {description: Cancelled}}
"""


def _dropped(text: str, *parts: str) -> str:
    """The example without these parts, each of which it has."""
    for part in parts:
        assert part in text, part
        text = text.replace(part, "")
    return text


def _put(text: str, old: str, new: str) -> str:
    """The example with one part replaced, which it has."""
    assert old in text, old
    return text.replace(old, new)


def _kind(  # one argument for each part of a page
    identity: str, summary: str, why: str, mend: str, before: str = "", after: str = "", *, level: Level = "error"
) -> GateFindingKind:
    """A kind whose texts are written over several lines."""
    summary, why, mend = (" ".join(text.split()) for text in (summary, why, mend))
    return GateFindingKind(identity, level, summary, why, mend, before, after)


KINDS: Final[tuple[GateFindingKind, ...]] = (
    _kind(
        "unresolved",
        "The description can not be judged: a reference leads nowhere, or a file is unreadable.",
        """A part that can not be followed can not be proven: the parameter behind an unresolved reference may be the
        one that makes a payment safe to repeat. So an unresolved reference never passes, wherever it stands.""",
        """Correct the reference, or add the file that it names. Addresses (`https://...`) are not opened: keep a copy
        beside the description.""",
    ),
    _kind(
        "strategy-missing",
        "An operation on a sensitive surface does not declare how a repetition is kept from a second effect.",
        """A caller whose answer got lost sends the request again, and so do proxies, queues and job runners on the way.
        Without a strategy the second request is a second payment, order, transfer or message.""",
        """Declare `x-idempotency` with a strategy that the rule accepts, and what proves it.
        `sidecar gate fix FILE --operation ID --strategy key` writes all of it for a stored key. If the operation only
        reads, have its path added to `reads` in config/gate.yaml.""",
        _dropped(_KEY, "      x-idempotency: {strategy: key, retention: 24h}\n"),
        _KEY,
    ),
    _kind(
        "declaration",
        "`x-idempotency` can not be understood.",
        "A field with a typo in its name would be ignored, and what it was meant to state would be missing.",
        "The finding names the field and what it may be; README.md in this folder lists all fields.",
        _put(_KEY, "retention: 24h", "retention: 24"),
        _KEY,
    ),
    _kind(
        "strategy-refused",
        "The declared strategy is not one that the rule of the surface accepts.",
        """Strategies protect for different times and against different repetitions: a stored key is forgotten after its
        retention and a ledger's unique reference is not; a condition on a version can not guard what does not exist
        yet.""",
        """Use one of the strategies that the finding names. Where it names two that belong together, declare both:
        `strategy: [key, ledger]`.""",
        _put(
            _TRANSFER,
            "strategy: [key, ledger], retention: 24h, ledger: /end_to_end_id",
            "strategy: key, retention: 24h",
        ),
        _TRANSFER,
    ),
    _kind(
        "key-parameter",
        "`strategy: key` without a required header parameter for the key, under a name that the gate knows.",
        """An optional key protects only the callers that send one, and clients that repeat without thinking are those
        that do not. Under another name sidecars, client libraries and partners do not send it.""",
        """Add the header parameter `Idempotency-Key` with `required: true`. Other names have to be in `key.headers` of
        config/gate.yaml.""",
        _put(_KEY, "in: header, required: true", "in: header"),
        _KEY,
    ),
    _kind(
        "key-responses",
        "`strategy: key` without the answers that only a key can cause.",
        """A caller must be able to tell *the first request is still running* (409: wait and ask again) from *this key
        was used for another request* (422: an error of the caller). Undeclared, generated clients treat both as unknown
        errors, and callers repeat with a new key. `4XX` and `default` do not say which is which.""",
        "Declare the responses 409 and 422.",
        _dropped(_KEY, '        "422": {description: The key was used for another request}\n'),
        _KEY,
    ),
    _kind(
        "key-retention",
        "The description does not say how long keys are kept, or it is shorter than the rule asks for.",
        """A repetition after the retention is a new request: callers must know until when repeating is safe, and it has
        to be longer than any of them repeats. A retention of minutes does not outlive an outage.""",
        "State `retention` in `x-idempotency`, at least what the rule asks for, like 24h.",
        _dropped(_KEY, ", retention: 24h"),
        _KEY,
    ),
    _kind(
        "natural-key-field",
        "`strategy: natural-key` names a field that a request may leave out, or that can not tell requests apart.",
        """The service recognises a repetition by the value of this field. A request without it is never recognised, and
        values from a fixed set are recognised where they should not be.""",
        """Name the field by which the business already identifies the thing (`field: /reference`), and make it required
        at every level and for every media type: the body, the object, each branch of `oneOf`.""",
        _dropped(_NATURAL, "              required: [reference]\n"),
        _NATURAL,
    ),
    _kind(
        "conditional-proof",
        "`strategy: conditional` without a required If-Match header, or without the answer 412.",
        """Compare-and-set is safe to repeat because the second request meets a changed version and is refused (RFC
        9110, section 13.1.1). Callers that may leave the condition out overwrite each other.""",
        "Add the header parameter `If-Match` with `required: true`, and declare the response 412.",
        _put(_CONDITIONAL, "in: header, required: true", "in: header"),
        _CONDITIONAL,
    ),
    _kind(
        "event-proof",
        "`strategy: event-id` without a required id of the event, or without the statement of at-least-once delivery.",
        """A sender of webhooks or events sends again when the answer is lost. The receiver can recognise the repetition
        by an id alone, and prepares for it only when the description says that it will happen.""",
        "Name the id (`field: /id` or `header:webhook-id`), make it required, and say `delivery: at-least-once`.",
        _dropped(_CALLBACK, ", delivery: at-least-once"),
        _CALLBACK,
    ),
    _kind(
        "send-key-field",
        "`strategy: send-key` names no required field by which a repeated send is recognised.",
        "A message can not be taken back, and a caller whose answer got lost must be able to ask for it again.",
        "Name the key of the send, `field: header:Idempotency-Key` or a field of the body, and make it required.",
        _dropped(_SEND, ', field: "header:Idempotency-Key"'),
        _SEND,
    ),
    _kind(
        "ledger-field",
        "`strategy: ledger` names no required reference that the ledger posts only once, or not its answer 409.",
        """A stored key is forgotten after its retention, and lives in another store than the money. The unique
        constraint of the ledger holds without end, and in the transaction that posts.""",
        "Name the reference (`ledger: /end_to_end_id`), make it required, and declare the response 409.",
        _dropped(_TRANSFER, ", ledger: /end_to_end_id"),
        _TRANSFER,
    ),
    _kind(
        "exception-missing",
        "`strategy: none` without a live exception for this operation in config/gate.yaml.",
        """Without a strategy a repetition is a second effect. To ship it all the same takes two approvers who are not
        its owner, a reason, a ticket, and an end within 30 days.""",
        "Give the operation a strategy, or ask the owner of config/gate.yaml for an exception.",
        _NONE,
        _KEY,
    ),
    _kind(
        "effect-in-get",
        "A safe method is named by a verb of effect, or marked `x-side-effect: true`.",
        """GET is repeated by browsers, caches, crawlers and every retrying client (RFC 9110, section 9.2.1), and no key
        protects it.""",
        "Make it a POST with a strategy. If it has no effect, name it by what it returns.",
        _GET,
        _put(_put(_GET, "operationId: cancelPayment", "operationId: getCancellation"), "/cancel:", "/cancellation:"),
    ),
    _kind(
        "effect-denied",
        "`x-side-effect: false` on an operation that the gate takes for a write.",
        "A label in the description proves nothing: it would be the shortest way around the gate.",
        """Remove the label. If the operation only reads, have its path added to `reads` in config/gate.yaml, which
        belongs to another team.""",
        _NONE.replace("x-idempotency: {strategy: none}", "x-side-effect: false"),
        _KEY,
    ),
    _kind(
        "surface-label",
        "`x-surface` names no rule, or a later one than the operation's tags, path and words.",
        "The label can put an operation under a stricter rule. It does not take an operation away from its rule.",
        "Remove the label, or name the rule that the finding names.",
        _put(
            _KEY, "      operationId: createPayment\n", "      operationId: createPayment\n      x-surface: messages\n"
        ),
        _put(
            _KEY, "      operationId: createPayment\n", "      operationId: createPayment\n      x-surface: payments\n"
        ),
    ),
    _kind(
        "review-missing",
        "A new operation on a sensitive surface has no sign-off of its design.",
        "Most duplicates come from the design, and a design is cheapest to change before it has callers.",
        "Have the design reviewed, and write who, when and where: `x-idempotency.review: {by, date, link}`.",
    ),
    _kind(
        "review-invalid",
        "The sign-off has a date in the future, or is by a person who does not own the description.",
        "A sign-off counts as one when the person who gave it answers for the API.",
        """`by` must be an owner of the file in CODEOWNERS, or a member of a team that is (`review.teams` in
        config/gate.yaml).""",
    ),
    _kind(
        "strategy-removed",
        "An operation had a strategy in the baseline, and has none now.",
        """Callers that repeat today rely on it, and will repeat tomorrow. Its removal breaks them as the removal of a
        field does, but the error shows later and costs money.""",
        "Put the strategy back. To retire it, first give callers another operation.",
    ),
    _kind(
        "strategy-weakened",
        "A strategy protects less than in the baseline: a shorter retention, another header, field or mechanism.",
        "Callers that repeat within what was promised are no longer safe.",
        "Put it back, or support both until callers have moved.",
    ),
    _kind(
        "exception-life",
        "An exception in config/gate.yaml is over, about to end, not live yet, or for no operation that exists.",
        "Exceptions end by themselves, and the operation is refused from then on.",
        "Remove what is over or has no operation; prepare for what ends.",
        level="note",
    ),
)

BY_ID: Final = {kind.id: kind for kind in KINDS}
