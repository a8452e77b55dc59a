"""`python tests/mutation.py`: would the engine's tests notice? Breaks a copy of the engine in one place at a time.

Each mutant is a law of the engine broken on purpose; its tests have to fail. Exit code 0: every one was noticed; 1:
some survived; 2: the list does not fit the code any more, or the tests fail without a mutant. Not collected by pytest.
"""

# ruff: noqa: T201

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
TIMEOUT = 120  # seconds for one run of tests


@dataclass(frozen=True)
class Mutant:
    """One place of `sidecar/engine/<module>.py` written differently; `tests` names what has to notice."""

    breaks: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...] = ()

    def test_paths(self) -> list[str]:
        return [f"tests/engine/test_{name}.py" for name in self.tests or (self.module,)]


MUTANTS = (
    Mutant("the jitter has no upper bound", "backoff", "min(policy.max, ", "max(policy.max, "),
    Mutant("the back-off does not double", "backoff", "2.0 ** min(failures - 1, 60)", "2.0"),
    Mutant("half of the jitter is fixed", "backoff", "return rand() *", "return (0.5 + rand() / 2) *"),
    Mutant("jitter without the server's wish", "pushback", "retry_after + jitter", "jitter"),
    Mutant("the server's wish without jitter", "pushback", "retry_after + jitter", "retry_after"),
    Mutant("a wish of any length is waited for", "pushback", "retry_after > policy.max", "retry_after > 1e9"),
    Mutant("429 is an ordinary failure", "classify", "FailureClass.THROTTLED if", "FailureClass.TRANSIENT if"),
    Mutant("a bucket too few leaves the window", "window", "self._slot + size) + 1)", "self._slot + size))"),
    Mutant("the edge belongs to the old bucket", "window", "if now < self.edge:", "if now <= self.edge:"),
    Mutant(
        "a retry spends nothing",
        "budget",
        ("        self._retries.add(now)\n        self._granted"),
        "        self._granted",
    ),
    Mutant("one token less than a token is enough", "budget", "_EPSILON < 1:", "_EPSILON <= 0:"),
    Mutant("a whole window is spent at once", "budget", "min(overall, newest)", "overall"),
    Mutant("the burst has no factor", "budget", "policy.burst * earned", "earned"),
    Mutant("there is no floor", "budget", "earned + policy.min_retries", "earned"),
    Mutant("retries are forgotten before the window is over", "budget", "BUCKETS + 1)", "BUCKETS)"),
    Mutant(
        "requests pay for longer than the window",
        "budget",
        "self.requests = Window(width, now)",
        "self.requests = Window(width, now, BUCKETS + 1)",
    ),
    Mutant(
        "a refund is given twice",
        "budget",
        "        self._granted.take_back(withdrawn_at)",
        ("        self._granted.take_back(withdrawn_at)\n        self._retries.take_back(withdrawn_at)"),
    ),
    Mutant(
        "a departure is forgotten",
        "budget",
        ("        self._retries.take_back(withdrawn_at)\n        self._retries.add(now)"),
        "        del now, withdrawn_at",
    ),
    Mutant("a shorter window is a windfall", "budget", "min(1.0, policy.window / self._policy.window)", "1.0"),
    Mutant("the breaker ignores generations", "breaker", "if generation != self.generation:", "if generation < 0:"),
    Mutant("one failure in a row too many", "breaker", "self.consecutive >= policy", "self.consecutive > policy"),
    Mutant(
        "a success does not end the row",
        "breaker",
        ("        self.consecutive = 0\n        attempts"),
        "        attempts",
    ),
    Mutant("the ratio trips with too few attempts", "breaker", "attempts >= policy.min_requests and ", ""),
    Mutant(
        "one probe too many",
        "breaker",
        "            if self._probes >= self._policy.probes:",
        "            if self._probes > self._policy.probes:",
    ),
    Mutant(
        "an abandoned probe keeps its place",
        "breaker",
        "if generation == self.generation and self._state is HALF_OPEN:",
        "if generation < 0:",
    ),
    Mutant("pods probe together", "breaker", "(0.8 + 0.4 * self._rand())", "1.0"),
    Mutant(
        "it stays open ever longer",
        "breaker",
        "min(policy.max_open, policy.open * 2.0",
        "max(policy.open, policy.open * 2.0",
    ),
    Mutant(
        "old trips count after recovery",
        "breaker",
        ("        self._trips = 0\n        self._clear(now)"),
        "        self._clear(now)",
    ),
    Mutant("recovery lets everybody in at once", "breaker", "if self.state(now) is not RECOVERING:", "if True:"),
    Mutant("an open breaker holds for ever", "breaker", "if self._until < latest else None", "", ("breaker", "retry")),
    Mutant("a probe holds for ever", "breaker", "return latest if now < latest else None", "return latest"),
    Mutant(
        "nobody is held",
        "retry",
        "        if until is None:\n            return self._never_sent",
        "        if until:\n            return self._never_sent",
    ),
    Mutant(
        "who is held is not woken for the probe",
        "retry",
        "self.wake_at = min(until, self.deadline - self.policy.retry.min_remaining)",
        "self.wake_at = self.deadline - self.policy.retry.min_remaining",
    ),
    Mutant("a burst of bad news is many", "concurrency", "now - self._last_fall >= FALL_INTERVAL_SECONDS and ", ""),
    Mutant(
        "bad news among good is congestion", "concurrency", " and now - self._last_good >= FALL_INTERVAL_SECONDS:", ":"
    ),
    Mutant(
        "one slow answer is congestion",
        "concurrency",
        "if self._slow_run >= SLOW_ANSWERS_IN_A_ROW:",
        "if self._slow_run >= 1:",
    ),
    Mutant(
        "slowness lowers it without end",
        "concurrency",
        ("self._fall(now, self._usually_in_flight)\n            return"),
        ("self._fall(now, 0.0)\n            return"),
        ("recovery", "concurrency"),
    ),
    Mutant(
        "a short hang lowers it without end",
        "concurrency",
        "self._usually_in_flight if now - self._last_good < OUTAGE_SECONDS else 0.0",
        "0.0",
    ),
    Mutant(
        "the limit ignores its minimum", "concurrency", ", least, float(self._policy.min_in_flight)", ", least, 0.0"
    ),
    Mutant(
        "a waiting original makes no place",
        "concurrency",
        "leap = _LEAP if unknown else 1.0",
        "leap = 0.0",
        ("recovery", "concurrency"),
    ),
    Mutant(
        "a healthy destination is held back",
        "concurrency",
        ("        self.limit = max(self.limit, self.in_flight + 1.0)\n        return True"),
        "        return False",
    ),
    Mutant(
        "a hang hides what is usually in flight",
        "concurrency",
        "sorted(in_flight for _, in_flight in self._periods)[middle]",
        "sorted(self._periods)[middle][1]",
    ),
    Mutant("the oldest is first for ever", "wait_queue", "if not self.grows:", "if True:", ("wait_queue", "recovery")),
    Mutant("the newest is first always", "wait_queue", "if not self.grows:", "if False:"),
    Mutant("chance is growth", "wait_queue", "self._trend * self._trend > self._seen / 2", "self._seen > 0"),
    Mutant("an overload is never forgotten", "wait_queue", "math.exp((self._counted_at - now) / DECAY_SECONDS)", "1.0"),
    Mutant("a stall changes nothing", "wait_queue", "if now - self._taken_at > STALL_SECONDS:", "if now < 0:"),
    Mutant("the late go first", "wait_queue", "- now >= MIN_REMAINING_SHARE", "- now >= 0"),
    Mutant(
        "the lost have a turn", "wait_queue", "if waiter.deadline - now > EXPIRED_SHARE", "if waiter.deadline - now > 0"
    ),
    Mutant(
        "who leaves the front moves the late",
        "wait_queue",
        ("        if index < self._expiring:\n            self._expiring -= 1"),
        "        del index",
    ),
    Mutant(
        "the queue has no end",
        "concurrency",
        "if len(self.waiting) >= self._policy.max_waiting:",
        "if not self.waiting and len(self.waiting):",
    ),
    Mutant(
        "an attempt without news keeps its place",
        "concurrency",
        ('"""An attempt in flight ended in a way that says nothing."""\n        self.in_flight -= 1'),
        '"""Nothing."""',
        ("retry", "concurrency"),
    ),
    Mutant(
        "waiters stay where nothing is let through",
        "destination",
        "if breaker.held_until(oldest.waiting_since, now) is not None:",
        "if oldest:",
    ),
    Mutant("an endpoint is blamed for all", "destination", "row > self.breaker.consecutive and ", ""),
    Mutant("an endpoint is blamed while all is open", "destination", " and self.breaker._state is CLOSED", ""),
    Mutant("an original earns nothing", "retry", "window = destination.budget.requests", "window = breaker._attempts"),
    Mutant(
        "attempts are counted before idempotence",
        "retry",
        (
            "elif sent and now + pushed_back(pushback, retry_after, 0.0) > self.repeatable_until:\n"
            "            refusal = Refusal.NOT_IDEMPOTENT\n"
            "        elif self._tries >= retry.max_attempts:\n"
            "            refusal = Refusal.ATTEMPTS_EXHAUSTED"
        ),
        (
            "elif self._tries >= retry.max_attempts:\n"
            "            refusal = Refusal.ATTEMPTS_EXHAUSTED\n"
            "        elif sent and now + pushed_back(pushback, retry_after, 0.0) > self.repeatable_until:\n"
            "            refusal = Refusal.NOT_IDEMPOTENT"
        ),
    ),
    Mutant(
        "the token is paid before the limit is asked",
        "retry",
        (
            "            elif self._crowded(now):\n"
            "                refusal = _CONCURRENCY_LIMIT\n"
            "            elif not destination.budget.withdraw(now):\n"
            "                refusal = Refusal.BUDGET_EXHAUSTED"
        ),
        (
            "            elif not destination.budget.withdraw(now):\n"
            "                refusal = Refusal.BUDGET_EXHAUSTED\n"
            "            elif self._crowded(now):\n"
            "                refusal = _CONCURRENCY_LIMIT"
        ),
    ),
    Mutant("one attempt too many", "retry", "self._tries >= retry.max_attempts", "self._tries > retry.max_attempts"),
    Mutant("a retry may leave at the deadline", "retry", "self.deadline - retry.min_remaining:", "self.deadline:"),
    Mutant(
        "a draining host goes on retrying",
        "retry",
        (
            "            elif destination.draining:\n"
            "                refusal = Refusal.DRAINING\n"
            "            elif destination.breaker.refuses"
        ),
        "            elif destination.breaker.refuses",
    ),
    Mutant(
        "a refused departure keeps its token",
        "retry",
        ("            destination.budget.refund(self._paid_at)\n            destination.tally.refusals[refusal] += 1"),
        "            destination.tally.refusals[refusal] += 1",
    ),
    Mutant("an earlier attempt that was sent is forgotten", "retry", "        sent = sent or self._sent\n", ""),
    Mutant(
        "an unsafe write that was sent is repeated",
        "retry",
        "if sent and now + delay > self.repeatable_until:",
        "if now < 0:",
    ),
    Mutant("a reset says nothing to the breaker", "retry", "Fault.RESET, Fault.PROTOCOL})", "Fault.PROTOCOL})"),
    Mutant(
        "a slow attempt is counted twice",
        "retry",
        (
            "        if self._slow:\n"
            "            destination.limiter.released()\n"
            "        else:\n"
            "            destination.limiter.failed(now)"
        ),
        "        destination.limiter.failed(now)",
    ),
    Mutant(
        "a stale connection is replaced for ever",
        "retry",
        "if self._reconnected or self.committed",
        "if self.committed",
    ),
    Mutant(
        "a caller that leaves keeps its place",
        "retry",
        (
            "            destination.limiter.released()\n"
            "            destination.breaker.inconclusive(self._generation, now)\n"
            "            destination.tally.attempts[self._kind][_ABANDONED]"
        ),
        (
            "            destination.breaker.inconclusive(self._generation, now)\n"
            "            destination.tally.attempts[self._kind][_ABANDONED]"
        ),
    ),
    Mutant(
        "a caller that leaves keeps its token",
        "retry",
        ("        elif state == _BACKING_OFF:\n            destination.budget.refund(self._paid_at)\n"),
        "",
    ),
    Mutant(
        "a departure is not counted by its cause",
        "retry",
        "retries.get(self._cause, 0) + 1",
        "retries.get(self._cause, 0)",
    ),
)


def copied(folder: Path) -> Path:
    for name in ("sidecar", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def passes(folder: Path, paths: list[str]) -> bool:
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", *paths]
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return False  # a mutant that never ends is noticed
    if run.returncode not in (0, 1):
        raise RuntimeError(f"the tests could not be run:\n{run.stdout}{run.stderr}")
    return run.returncode == 0


@contextmanager
def applied(mutant: Mutant, folder: Path) -> Iterator[None]:
    path = folder / "sidecar" / "engine" / f"{mutant.module}.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def misplaced() -> list[str]:
    return [
        f"{mutant.module}.py does not hold this: {mutant.old!r} ({mutant.breaks})"
        for mutant in MUTANTS
        if mutant.old not in (ROOT / "sidecar" / "engine" / f"{mutant.module}.py").read_text(encoding="utf-8")
    ]


def main() -> int:
    if lost := misplaced():
        print("\n".join(lost), file=sys.stderr)
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as place, ThreadPoolExecutor(WORKERS) as pool:
        folders: SimpleQueue[Path] = SimpleQueue()
        for worker in range(WORKERS):
            folders.put(copied(Path(place) / str(worker)))

        def is_noticed(mutant: Mutant) -> bool:
            folder = folders.get()
            try:
                with applied(mutant, folder):
                    return not passes(folder, mutant.test_paths())
            finally:
                folders.put(folder)

        every = sorted({path for mutant in MUTANTS for path in mutant.test_paths()})
        if not passes(copied(Path(place) / "whole"), every):
            print("the tests fail without any mutant", file=sys.stderr)
            return 2
        survivors = 0
        for mutant, noticed in zip(MUTANTS, pool.map(is_noticed, MUTANTS), strict=True):
            survivors += not noticed
            print(f"{'noticed ' if noticed else 'SURVIVED'}  {mutant.module:12}  {mutant.breaks}", flush=True)
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} noticed in {time.monotonic() - began:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
