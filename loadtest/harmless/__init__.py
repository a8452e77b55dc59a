"""Healthy dependencies on real sockets: whether callers notice the proxy in between."""
