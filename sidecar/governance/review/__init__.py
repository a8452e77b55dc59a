"""Judges and shows documents for people and CI: check, diff, explain, schema. Not loaded by `sidecar run`."""
