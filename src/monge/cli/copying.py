"""What the copying clock said in a training."""

from collections.abc import Mapping, Sequence

from monge.models.copying import FIRST, onset


def when_copies(log: Sequence[Mapping[str, str]], n: int) -> str:
    """In words: at which step samples began to be copies, or when they are likely to.

    log: rows of a log.csv. n: rows that were learned from.

    >>> looks = [{"step": str(k), "samples/copies": str(k / 1000), "looks/copying": "1"} for k in (40, 80, 120)]
    >>> when_copies(looks, 30)[:59]
    'copies: from step 48 on (40 to 87), 12% of samples at step '
    """
    if not any(row.get("samples/copies") for row in log):
        return f"copies: not looked for, the first look is at step {FIRST}"
    return onset(log).words(n)
