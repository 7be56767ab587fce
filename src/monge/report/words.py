"""The verdict in a sentence."""

from collections.abc import Sequence

from monge.evaluation import Verdict

SYMBOLS = {"pass": "✓", "fail": "✕", "undecided": "?"}
NAMED = 4


def reason(verdict: Verdict) -> str:
    """Why the verdict is what it is, for somebody who has never seen one.

    >>> reason(Verdict())
    'Nothing was tested.'
    """
    lines = verdict.lines
    if not lines:
        return "Nothing was tested."
    worst = [line.name for line in lines if line.status == verdict.status]
    if verdict.status == "fail":
        differs = "differs" if len(worst) == 1 else "differ"
        what = "its margin" if len(worst) == 1 else "their margins"
        return (
            f"{_listed(worst, len(lines))} {differs} from what real data score by more than {what}, and by more "
            "than chance explains."
        )
    if verdict.status == "undecided":
        return (
            f"No line fails, but with these numbers of samples {len(worst)} of {len(lines)} cannot be passed: "
            f"{', '.join(worst[:NAMED])}{' and others' * (len(worst) > NAMED)}. More held-out or generated "
            "samples narrow the intervals."
        )
    return f"All {len(lines)} lines lie within their margins of what real data score."


def counts(verdict: Verdict) -> str:
    """How many samples the verdict stands on.

    >>> counts(Verdict(context={"n_generated": 2000, "n_holdout": 359, "n_train": 0}))
    '2,000 generated · 359 held out'
    """
    named = (("n_generated", "generated"), ("n_holdout", "held out"), ("n_train", "for training"))
    found = [(verdict.context.get(key), name) for key, name in named]
    return " · ".join(f"{n:,} {name}" for n, name in found if n)


def _listed(names: Sequence[str], of: int) -> str:
    shown = list(names) if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} others"]
    text = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    return f"{text[0].upper()}{text[1:]} ({len(names)} of {of} lines)"
