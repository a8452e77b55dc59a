"""Runs a call in the thread that makes it.

A blocking attempt cannot be asked about while it runs: its own timeout is what remains of the call's, and no second
attempt goes beside it.
"""

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from sidecar.client.call import AttemptOutcome, GovernedCall

T = TypeVar("T")


def run_in_thread(
    call: GovernedCall[T],
    make: Callable[[int], AttemptOutcome[T]],
    dispose: Callable[[AttemptOutcome[T]], None],
    woken: Event,
    clock: Callable[[], float],
) -> None:
    """Run `call` to its end. `woken` is set by the call's `notify`.

    `make` makes the attempt of that number to its end, with its exceptions in the outcome. `dispose` closes what an
    outcome holds that the caller will not see.

    What the caller's thread is interrupted by (KeyboardInterrupt, SystemExit) abandons the call and is raised.
    """
    try:
        call.begin(clock())
        while True:
            woken.clear()
            for number in call.take_to_call_off():
                outcome = call.outcomes.pop(number, None)
                if outcome is not None:
                    dispose(outcome)
            numbers = call.take_to_send()
            for number in numbers:
                call.on_outcome(number, make(number), clock())
            if numbers:
                continue
            if call.over:
                return
            wait = call.timer_at - clock()
            if wait > 0:
                woken.wait(wait)
            else:
                call.on_timer(clock())
    except BaseException:
        call.abandon(clock())
        raise
