"""Stores: memory for tests, SQLite on the pod's own disk, Redis or Valkey, PostgreSQL."""
