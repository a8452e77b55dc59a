"""The caller's address and scheme, for the service behind the ingress: X-Forwarded-For and X-Forwarded-Proto."""


def forwarded(fields: bytes, client: bytes, scheme: bytes) -> bytes:
    """`fields` with the client's address appended to the last X-Forwarded-For, and the scheme where none is given yet.

    A scheme that is given is the one that the first of all proxies was asked by: a service that sends redirects wants
    that one, and not how the last hop was made.
    """
    lower = b"\r\n" + fields.lower()
    at = lower.rfind(b"\r\nx-forwarded-for:")
    if at < 0:
        fields += b"X-Forwarded-For: %b\r\n" % client
    else:
        end = fields.index(b"\r\n", at)
        said = fields[at + 16 : end].strip(b" \t")
        whole = b"%b, %b" % (said, client) if said else client
        fields = b"%b %b%b" % (fields[: at + 16], whole, fields[end:])
    if b"\r\nx-forwarded-proto:" not in lower:
        fields += b"X-Forwarded-Proto: %b\r\n" % scheme
    return fields
