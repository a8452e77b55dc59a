"""Compiles documents to one immutable Snapshot: guardrails, waivers, resolution and the ceilings of the engine."""
