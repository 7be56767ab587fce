"""How many threads work is fastest with: beside a busy program one may be far faster than all, which wait for each
other whenever one of them has no core."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch

TRIAL = 4  # steps with each number of threads, the first of which does not count
SLOWER = 2.0  # than usual, steps are tried anew
REST_S = 10.0  # between trials
BEGUN_S, AGAIN_S = 0.25, 5.0  # of work, before cores are looked at, and looked at again
LOOK_S = 0.02  # of a look with each number of threads: several times as long as a program keeps a core
GRAIN = 2**15  # values that torch gives to a thread
GAIN = 1.1  # of all threads over one, below which they are in each other's way
_told = False


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


@contextmanager
def paced() -> Iterator[Callable[[], None]]:
    """Torch works with all threads, or with one where another program is busy on their cores; yields `tick`, to be
    called as the work goes on: cores are looked at after a quarter of a second, then every five seconds. All threads
    are back at the end.

    >>> with paced() as tick:
    ...     tick()
    """
    most = torch.get_num_threads()
    if most == 1:
        yield lambda: None
        return
    due = time.monotonic() + BEGUN_S

    def tick() -> None:
        nonlocal due
        if time.monotonic() > due:
            torch.set_num_threads(quick(most))
            due = time.monotonic() + AGAIN_S

    try:
        yield tick
    finally:
        torch.set_num_threads(most)


def quick(most: int) -> int:
    """`most` threads, or one where these are no faster at what they can share evenly; said once."""
    global _told
    rates = {n: _rate(n, most) for n in (most, 1)}
    if rates[most] > GAIN * rates[1]:
        return most
    if not _told:
        _told = True
        warnings.warn(
            f"another program is busy on these cores, where {most} threads wait for each other: torch works with one "
            "(last digits of sums may differ)",
            stacklevel=2,
        )
    return 1


def _rate(threads: int, most: int) -> float:
    """How often in a second a table of GRAIN values for each of `most` threads is worked out."""
    torch.set_num_threads(threads)
    x, count = torch.full((most * GRAIN,), 0.5), 0
    torch.exp(x)
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < LOOK_S:
        torch.exp(x)
        count += 1
    return count / spent
