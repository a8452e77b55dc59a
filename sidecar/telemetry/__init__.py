"""Exporters: metrics, log lines, traces, lag. It reads the engine and never acts on it."""
