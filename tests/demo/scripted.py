"""A client whose answers are known beforehand."""


class ScriptedClient:
    """Ends its n-th request as scripted: a status, or an error. Keeps what it was asked."""

    def __init__(self, *answers: int | OSError) -> None:
        self.answers = list(answers)
        self.patiences: list[float] = []
        self.ids: list[str] = []

    async def get(self, request_id: str, patience: float) -> int:
        self.ids.append(request_id)
        self.patiences.append(patience)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer
