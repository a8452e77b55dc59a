"""Records of exchanges, and what carries them out: metrics, log lines, traces. Reads the engine, never acts on it."""
