"""What the process tells of itself: metrics, log lines, lag. It reads the engine and never acts on it."""
