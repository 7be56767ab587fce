"""What the copying clock said in a training."""

from collections.abc import Mapping, Sequence

from monge.models.copying import onset


def when_copies(log: Sequence[Mapping[str, str]], n: int) -> str:
    """In words: at which step samples began to be copies, or when they are likely to.

    log: rows of a log.csv. n: rows that were learned from.

    >>> when_copies([{"step": str(k), "samples/copies": str(k / 1000)} for k in (50, 100, 200)], 30)[:62]
    'copies: from step 50 on (50 to 92), 20% of samples at the end;'
    """
    return onset(log).words(n)
