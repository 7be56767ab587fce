"""How many threads a step is fastest with, found by timed steps: on a busy machine one may be far faster than all."""

import time
from collections.abc import Callable
from statistics import median

import torch

TRIAL = 4  # steps with each number of threads, the first of which does not count
SLOWER = 2.0  # than usual, steps are tried anew
REST_S = 10.0  # between trials


class Threads:
    """Tries one thread against all, keeps the faster, and tries again when steps become slow. The steps of a trial are
    steps of the training: none is lost.

    most: all threads, which are back at its end. clock: seconds.

    >>> used = []
    >>> with Threads(2, use=used.append) as threads:
    ...     threads.tick()
    >>> used
    [2, 2]
    """

    def __init__(
        self,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        use: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        self.most, self.clock, self.use = most, clock, use
        self.last = clock()

    def __enter__(self) -> "Threads":
        self.begin()
        return self

    def __exit__(self, *error: object) -> None:
        self.use(self.most)

    def begin(self) -> None:
        """Start a trial: first all threads, then one."""
        self.times: dict[int, list[float]] = {self.most: [], 1: []}
        self.chosen, self.usual, self.recent = self.most, 0.0, list[float]()
        self.trying = self.most > 1
        self.since = self.clock()
        self.use(self.most)

    def tick(self) -> None:
        """Called after each step."""
        now = self.clock()
        took, self.last = now - self.last, now
        if self.trying:
            self._try(took)
        elif self.most > 1:
            self.recent = [*self.recent[-(TRIAL - 1) :], took]
            slow = len(self.recent) == TRIAL and median(self.recent) > SLOWER * self.usual
            if slow and now - self.since > REST_S:
                self.begin()

    def _try(self, took: float) -> None:
        times = self.times[self.chosen]
        times.append(took)
        if len(times) < TRIAL:
            return
        if self.chosen == self.most:
            self.chosen = 1
        else:
            found = {n: median(values[1:]) for n, values in self.times.items()}
            self.chosen = min(found, key=lambda n: found[n])
            self.usual, self.trying = found[self.chosen], False
        self.use(self.chosen)
