"""A double that remembers what it was asked for."""


class Watched:
    """Keeps the names of the public attributes that were read. Put before the class of the double."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def __getattribute__(self, name: str) -> object:
        if name != "asked" and not name.startswith("_"):
            self.asked.add(name)
        return super().__getattribute__(name)
