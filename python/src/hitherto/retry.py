"""How often a call is tried, and how long it waits between."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable
from typing import TypeVar

from hitherto.errors import Error, Timeout, Unavailable

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Retry:
    """Exponential backoff with jitter, for calls that may be repeated: reads, and pushes that have a batch id.

    Only a server that cannot be reached is asked again. Waits are drawn from [1/2, 1] of `first * factor ** n` seconds,
    at most `longest`, and are never shorter than what the server asks for. All attempts share the call's timeout.
    """

    attempts: int = 4
    """How often in all; 1 is never again."""
    first: float = 0.1
    """Seconds."""
    factor: float = 3.0
    longest: float = 5.0
    """Seconds."""

    def wait(self, error: Error, attempt: int, left: float | None) -> float | None:
        """Seconds to wait after the attempt with this number (from 0) has failed; None if it was the last.

        `left` is how much of the timeout is left.
        """
        is_passing = isinstance(error, Unavailable) and not isinstance(error, Timeout)
        if not is_passing or attempt + 1 >= self.attempts:
            return None
        wait = min(self.longest, self.first * self.factor**attempt) * random.uniform(0.5, 1.0)
        wait = max(wait, error.retry_after or 0.0)
        # an answer that comes too late is none
        return None if left is not None and wait >= left else wait

    def run(self, call: Callable[[], _T], deadline: Deadline, *, is_repeatable: bool) -> _T:
        """`call`, as often as need be and may be."""
        attempt = 0
        while True:
            try:
                return call()
            except Error as error:
                wait = (self if is_repeatable else NEVER).wait(error, attempt, deadline.left())
                if wait is None:
                    raise
            time.sleep(wait)
            attempt += 1


NEVER = Retry(attempts=1)
"""For calls that may not be repeated."""


class Deadline:
    """A timeout that several attempts share; None is for ever."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Seconds, at least a millisecond."""
        return None if self._end is None else max(0.001, self._end - time.monotonic())
