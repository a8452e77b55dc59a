"""Text of a sidecar as a terminal may be given it."""


def printable(text: str) -> str:
    """The text without terminal control characters: callers choose paths, and the answering server everything else."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
