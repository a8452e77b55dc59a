"""Retries as a fleet property: a sidecar proxy that owns the retries of one service."""

__version__ = "0.1.0"
