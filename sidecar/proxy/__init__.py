"""The data plane: raw protocols on both sides of the engine's verdicts."""
