"""Bytes that are refused: with the status the caller gets and the one word that counts them."""


class Malformed(Exception):
    """A message that must not be forwarded. After it nothing more of its connection may be parsed.

    `status` is what a client that sent it is answered (a server that sent it is a `protocol` fault), `reason` is a
    metric label from a closed set, `detail` a sentence for people.
    """

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.to_head = False
        """The request that was refused is a HEAD, as far as it could be read: what it is answered has no body."""


REASONS = (
    "bad_request_line",
    "unsupported_version",
    "unknown_method",
    "bad_target",
    "target_too_long",
    "head_too_large",
    "too_many_fields",
    "bad_field",
    "host",
    "content_length",
    "transfer_encoding",
    "bad_chunk",
    "body_too_large",
    "head_timeout",
    "body_timeout",
    "bad_status_line",
    "unexpected_bytes",
    "truncated",
    "connect_target",
)
"""Every word that `Malformed.reason` can be."""
