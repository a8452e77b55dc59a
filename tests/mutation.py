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
TIMEOUT = 300  # seconds for one run of tests


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
    Mutant("429 is an ordinary failure", "classify", "return _THROTTLED if", "return _TRANSIENT if"),
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
    Mutant("a burst of bad news is many", "concurrency", "now - self._last_fall < FALL_INTERVAL_SECONDS or ", ""),
    Mutant("bad news among good is trouble", "concurrency", " or now - self._last_good < FALL_INTERVAL_SECONDS:", ":"),
    Mutant("one failure is a row", "concurrency", "if self._failures >= FAILURES_IN_A_ROW:", "if self._failures >= 1:"),
    Mutant(
        "an answer does not end the row of failures",
        "concurrency",
        ("        self._failures = 0\n        usual = self._usual"),
        "        usual = self._usual",
    ),
    Mutant(
        "a short outage lowers it without end",
        "concurrency",
        "self._usual.in_flight if now - self._last_good < OUTAGE_SECONDS else 0.0",
        "0.0",
    ),
    Mutant(
        "the limit ignores its minimum", "concurrency", ", least, float(self._policy.min_in_flight)", ", least, 0.0"
    ),
    Mutant(
        "an answer to one that waits makes no slot",
        "concurrency",
        "                self.limit = min(self.limit + 1.0, most)",
        "                pass",
        ("recovery", "concurrency"),
    ),
    Mutant(
        "a few slow answers are a queue",
        "concurrency",
        "if not run.add(seconds, now) or len(run) < RUN_SAMPLES:",
        "if not run.add(seconds, now) or len(run) < 2:",
        ("concurrency", "harmless"),
    ),
    Mutant(
        "slow answers in the order of their latency are a queue",
        "concurrency",
        "if lasted >= TREND_SHARE * seconds and run.rises:",
        "if run.rises:",
        ("concurrency", "harmless"),
    ),
    Mutant("no run is watched", "concurrency", "elif lasted >= 2.0 * run.mean:", "elif now < 0:"),
    Mutant("a watch never ends", "concurrency", "if now < self._watch_until:", "if True:", ("concurrency", "harmless")),
    Mutant(
        "a limit that holds nothing back stays",
        "concurrency",
        "elif now - self._last_waiting >= REOPEN_SECONDS + 2.0 * seconds and",
        "elif now < 0 and",
        ("concurrency", "harmless"),
    ),
    Mutant(
        "a stall is never probed",
        "concurrency",
        "elif self.state is STALLED and now >= self._probe_at and",
        "elif now < 0 and",
    ),
    Mutant(
        "a stall lets all through",
        "concurrency",
        "self.limit = min(self.limit, max(float(self.in_flight), self._floor))\n        self._probe_wait",
        "self._probe_wait",
        ("concurrency", "recovery"),
    ),
    Mutant(
        "waiters are released at once",
        "concurrency",
        "self._paced_at = max(self._paced_at, now - PACE_BURST_SECONDS) + apart",
        "del apart",
    ),
    Mutant(
        "a few waiters are paced as well",
        "concurrency",
        "if len(self.waiting) > max(FEW_WAITERS, UNPACED_SECONDS * self._usual.rate):",
        "if self.waiting:",
    ),
    Mutant(
        "a long outage is released like a short one",
        "concurrency",
        "PACE if is_outage else PACE_AFTER_BRIEF_FAILURES",
        "PACE_AFTER_BRIEF_FAILURES",
    ),
    Mutant(
        "who leaves early teaches nothing",
        "concurrency",
        "self._be_patient(min(seconds, self._patience), now)",
        "del now",
    ),
    Mutant(
        "suspicion costs nothing",
        "concurrency",
        "            budget.spend()\n",
        "",
        ("concurrency", "harmless"),
    ),
    Mutant(
        "no suspicion is paid for",
        "concurrency",
        "if self._hold_budget.is_funded else self._timeout",
        "if self._hold_budget is None else self._timeout",
        ("concurrency", "recovery"),
    ),
    Mutant("a hold budget is unfunded for ever", "hold_budget", "self.is_funded = True", "self.is_funded = False"),
    Mutant("a hold budget is funded by the first answers", "hold_budget", "max(1.0, LEAST_SECONDS * rate)", "1.0"),
    Mutant(
        "a hold budget saves without end",
        "hold_budget",
        "min(self._balance + SHARE * answered, self._most)",
        "self._balance + SHARE * answered",
    ),
    Mutant("a debt is forgiven", "hold_budget", "self._balance = min(self._balance, 0.0)", "self._balance = 0.0"),
    Mutant("an overdraft has no end", "hold_budget", "return self._balance < -self._most", "return False"),
    Mutant("a hang hides what is usually in flight", "latency", "self.total / duration, rate)", "0.0, rate)"),
    Mutant("what is usual is the quickest", "latency", "sorted(values)[(len(values) - 1) // 2]", "min(values)"),
    Mutant(
        "a limit learns from its congestion", "latency", "self._set(min(self._ceiling, ", "self._set(min(math.inf, "
    ),
    Mutant("a few answers are a period", "latency", "if self.count < MIN_SAMPLES and", "if self.count < 0 and"),
    Mutant(
        "a long patience is none",
        "latency",
        "SILENCE_SECONDS, SLOW_FACTOR * seconds, _harmless_silence(self._patience))",
        "SILENCE_SECONDS, SLOW_FACTOR * seconds)",
    ),
    Mutant("chance is a trend", "trial", "return score >= TREND * count", "return score >= 0 * count"),
    Mutant("two answers are a cohort", "trial", "if least < COHORT_SAMPLES:", "if least < 2:"),
    Mutant(
        "cohorts are compared without their spread",
        "trial",
        "if abs(difference) < CERTAINTY * error and",
        "if difference == 0 and",
    ),
    Mutant("lateness has no margin", "lateness", "self.seconds = MARGIN *", "self.seconds ="),
    Mutant("lateness is never forgotten", "lateness", "if now < self._until + MEMORY_SECONDS else 0.0", ""),
    Mutant("late retries are free", "lateness", "        self._balance -= 1.0\n", ""),
    Mutant(
        "a late retry that wins earns nothing",
        "lateness",
        "self._balance + WIN_REWARD",
        "self._balance",
        ("lateness", "retry"),
    ),
    Mutant("the first late retry needs no reason", "lateness", " and not alone", " and requests < 0", ("lateness",)),
    Mutant("the oldest is first for ever", "wait_queue", "if not self.grows:", "if True:", ("wait_queue", "recovery")),
    Mutant("the newest is first always", "wait_queue", "if not self.grows:", "if False:"),
    Mutant("chance is growth", "wait_queue", "self._trend * self._trend > self._seen / 2", "self._seen > 0"),
    Mutant("an overload is never forgotten", "wait_queue", "math.exp((self._counted_at - now) / DECAY_SECONDS)", "1.0"),
    Mutant("a stall changes nothing", "wait_queue", "if now - self._taken_at > STALL_SECONDS:", "if now < 0:"),
    Mutant("the late go first", "wait_queue", "+ patience - now >= least:", "+ patience - now >= 0:"),
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
    Mutant(
        "a retry may leave at the deadline",
        "retry",
        "min(self.deadline - retry.min_remaining, self.began",
        "min(self.deadline, self.began",
    ),
    Mutant("the window for retries has no end", "retry", ", self.began + retry.window):", ", self.deadline):"),
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
        "a late attempt is given up for its retry",
        "retry",
        "            self.elder = LateAttempt(self.attempt_number, self._kind, self._generation, self.attempt_began)",
        "            pass",
    ),
    Mutant(
        "a third attempt goes beside two", "retry", "if self.elder is not None:  # two at once", "if now < 0:  # two"
    ),
    Mutant(
        "in a silence all that is late is tried again",
        "retry",
        "if limiter.silent_since(self.attempt_began):",
        "if now < 0:",
    ),
    Mutant(
        "late retries need not earn their keep",
        "retry",
        "if not allowance.withdraw(destination.tally.requests_total, alone=limiter.in_flight <= 1):",
        "if now < 0:",
    ),
    Mutant(
        "a failed retry takes its elder along",
        "retry",
        "            self._promote_elder()\n            return AWAIT\n        if permanent",
        "            pass\n        if permanent",
    ),
    Mutant(
        "an elder that fails voids nothing",
        "retry",
        "        self.destination.budget.refund(self._paid_at)\n        self._state = _IDLE\n        return True",
        "        self._state = _IDLE\n        return True",
    ),
    Mutant("an elder that wins leaves its retry in flight", "retry", "            self._call_off_retry(now)\n", ""),
    Mutant(
        "a stale connection is replaced for ever",
        "retry",
        "if self._reconnected or self.committed",
        "if self.committed",
    ),
    Mutant(
        "a caller that leaves keeps its place",
        "retry",
        "            self._orphan(self._kind, self._generation, self.attempt_began, _ABANDONED, now)\n",
        "",
    ),
    Mutant(
        "a caller that leaves keeps its token",
        "retry",
        ("        elif state is _BACKING_OFF:\n            destination.budget.refund(self._paid_at)\n"),
        "",
    ),
    Mutant(
        "an orphaned slot is free at once",
        "orphans",
        "heappush(self._heap, (now + seconds, now))",
        "heappush(self._heap, (now, now))",
    ),
    Mutant(
        "an orphaned slot is never given back",
        "orphans",
        "while heap and heap[0][0] <= now:",
        "while heap and now < 0:",
    ),
    Mutant("a good answer frees no orphan", "orphans", "if self._reclaimed_at < last_good:", "if now < 0:"),
    Mutant(
        "the driver forgets to wake",
        "driver",
        "    if not destination.limiter.waiting:\n        return\n",
        "    return\n",
    ),
    Mutant(
        "the driver delivers beside an attempt under way",
        "driver",
        "                for other in others:\n                    self.host.call_off(other)\n",
        "",
    ),
    Mutant(
        "the driver does not come back to the elder",
        "driver",
        "        if elder:\n            self._await_elder(elder, admission)\n        else:",
        "        if True:",
    ),
    Mutant(
        "a shadow saves what was answered well",
        "shadow",
        "self._let_go(now, Difference.RETRY, saves=not well)",
        "self._let_go(now, Difference.RETRY)",
    ),
    Mutant(
        "a shadow learns nothing of what is late",
        "shadow",
        "            self._twin.on_elder_status(now, status, retry_after)\n            self._let_go",
        "            self._let_go",
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
