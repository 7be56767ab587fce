"""The verdict in a sentence."""

from collections.abc import Sequence

from monge.evaluation import Outcome, Verdict

SYMBOLS = {"pass": "✓", "fail": "✕", "undecided": "?"}
NAMED = 4


def reason(verdict: Verdict) -> str:
    """Why the verdict is what it is, by defect, for somebody who has never seen one.

    >>> reason(Verdict())
    'Nothing was tested.'
    """
    if not verdict.lines:
        return "Nothing was tested."
    by = {status: [d for d in verdict.defects if d.status == status] for status in ("fail", "undecided", "pass")}
    if verdict.status == "fail":
        worst = _worst_first(verdict, by["fail"])
        others = [line.name for line in verdict.lines if line.status == "fail"]
        told = [d.words for d in worst] or [f"{_listed(others)} differ from real data beyond chance"]
        return f"Found: {'; '.join(told[:NAMED])}{'; and more' * (len(told) > NAMED)}."
    excluded = f"Excluded: {', '.join(_short(d.words) for d in by['pass'])}." if by["pass"] else ""
    if verdict.status == "undecided":
        open_ = [d.words for d in by["undecided"]] or [
            f"{line.name} is neither within its margin nor beyond it" for line in verdict.lines if line.status != "pass"
        ]
        return f"Nothing was found, but not all is excluded. {_sentence('; '.join(open_[:NAMED]))}. {excluded}".strip()
    return f"Nothing was found. {excluded or 'All lines lie within their margins of what real data score.'}"


def _worst_first(verdict: Verdict, found: Sequence[Outcome]) -> list[Outcome]:
    """Defects by how many times their reference size they look, those that have none last; after them labels, which are
    recognised by what may be wrong itself."""
    size = {line.name: (line.value - line.floor) / line.margin for line in verdict.lines if line.margin}
    times = {d.name: max((size.get(name, 0.0) for name in d.lines), default=0.0) for d in found}
    return sorted(found, key=lambda d: (d.name == "label", d.size is None, -times[d.name]))


def _short(words: str) -> str:
    return words.partition(": excluded")[0]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def counts(verdict: Verdict) -> str:
    """How many samples the verdict stands on.

    >>> counts(Verdict(context={"n_generated": 2000, "n_holdout": 359, "n_train": 0}))
    '2,000 generated · 359 held out'
    """
    named = (("n_generated", "generated"), ("n_holdout", "held out"), ("n_train", "for training"))
    found = [(verdict.context.get(key), name) for key, name in named]
    return " · ".join(f"{n:,} {name}" for n, name in found if n)


def _listed(names: Sequence[str]) -> str:
    shown = list(names) if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
