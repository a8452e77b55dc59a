"""Retry libraries beside the client library, each in a fleet of processes before the same dependency in trouble."""
