"""HTTP/1.1 (RFC 9110, RFC 9112) without sockets: bytes to heads, heads to bytes, and where a message ends."""
