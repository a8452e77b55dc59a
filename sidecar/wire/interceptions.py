"""The outcomes of a connection that was redirected to the sidecar on its way to another address."""

from typing import Final

INTERCEPTIONS: Final = ("http", "tls", "opaque", "silent", "refused", "loop")
"""Its requests are routed; it is tunnelled to where it was going, since it speaks TLS, or something else, or waits to
be spoken to; or it is closed: tunnels are refused, or it is the sidecar's own. A label of metrics.
"""
