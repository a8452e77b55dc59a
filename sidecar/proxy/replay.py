"""The replay buffer: a request's body as long as it is short enough to be sent again."""


class ReplayBuffer:
    """Everything of one body that has come so far, up to `limit` bytes; past that only what is not sent yet.

    A body is *replayable* while all of it so far is here.
    """

    __slots__ = ("_limit", "_pieces", "replayable", "size")

    def __init__(self, limit: int, data: bytes = b"") -> None:
        """`data` is what has come already."""
        self._limit = limit
        self._pieces = [data] if data else []
        self.size = len(data)
        self.replayable = True

    @property
    def full(self) -> bool:
        """No more should be taken in before it is sent."""
        return self.size > self._limit

    def keep(self, data: bytes) -> None:
        """Keep a piece that is not sent yet, or may have to be sent again."""
        self._pieces.append(data)
        self.size += len(data)

    def sent(self) -> None:
        """All of it is on its way: a body over the limit is let go, and can not be sent again."""
        if self.size > self._limit:
            self._pieces.clear()
            self.size = 0
            self.replayable = False

    def send(self) -> bytes:
        """The kept body, in one piece, to be sent."""
        if len(self._pieces) != 1:
            self._pieces[:] = [b"".join(self._pieces)]
        content = self._pieces[0]
        if self.size > self._limit:
            self.sent()
        return content
