"""Brings documents in and keeps them current: files, URLs, last good copies, reloads, rollouts. The room with IO."""
