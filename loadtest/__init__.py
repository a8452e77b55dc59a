"""Measurements against real peers: what the sidecar costs beside Envoy and others. Never imported by `sidecar`."""
