"""A certificate of a run's denoiser, on data that it did not see."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from monge import models, rng
from monge.data import Samples
from monge.errors import BadInput
from monge.evaluation import Certificate, Finding, certificate
from monge.files import write_atomic
from monge.runs.again import load_like, split_again
from monge.runs.folder import Run

EVENTS, LEVELS, FEWEST = 400, 8, 20
AUDITED, IN_AUDIT = 200, (0.1, 0.3, 1.0)  # events, and levels over the widest s.d., of the lines of an audit
QUICK = "orthogonality", "whiteness", "second-order Tweedie", "symmetric Jacobian"
CERTIFICATE = "certificate.json"


class Certified(NamedTuple):
    """A certificate, in units of a run's scaled data, one of which is `unit` of the data, and what to know of it."""

    certificate: Certificate
    unit: float
    notes: tuple[str, ...]

    @property
    def told_unit(self) -> str:
        """In words, that of sigma."""
        common = f"the unit of the scaled data, {self.unit:.4g} of the data's"
        return "standard deviations of each value" if self.unit == 1 else common


def certify(
    run: Run,
    *,
    twin: Run | None = None,
    holdout: str | None = None,
    source: str | None = None,
    levels: Sequence[float] | None = None,
    n: int = EVENTS,
    seed: int = 0,
) -> Certified:
    """Certify the denoiser of a run (`monge.evaluation.certificate`) on rows that were held out of it, and write
    RUN/certificate.json.

    twin: a run on other rows of the same data, in the same units (`monge generalise` makes such). holdout: rows that
    neither learned from, where the run does not say; source: where the data of the run are now. levels: in the unit of
    the data, 8 between those of sampling unless given. n: rows.

    Raises BadInput for a run without a denoiser, or with a blind one, and for a twin of other data or units.
    """
    model = denoising_model(run)
    held = _held_out(run, holdout, source)
    about, twins = run.record()["data"], []
    notes: list[str] = []
    for learner in (run, *([twin] if twin is not None else [])):
        held = _unseen(held, learner, source, notes)
    if twin is not None:
        other, theirs = denoising_model(twin), twin.record()["data"]
        for name in ("name", "kind", "event_shape"):
            if theirs[name] != about[name]:
                raise BadInput(
                    f"a twin learned from other rows of the same data: {twin.folder} has {name} {theirs[name]}, and "
                    f"{run.folder} {about[name]}"
                )
        if model.units.fingerprint != other.units.fingerprint:
            raise BadInput(
                f"{twin.folder} and {run.folder} have other units: fit the second with scaling=first.scaling, as "
                "monge generalise does"
            )
        if theirs["fingerprint"] == about["fingerprint"]:
            notes.append("both learned from the same rows: they differ by what the seed draws alone")
        twins.append(other.scaled_denoiser())
    unit = model.units.unit
    low, high = model.levels()
    scaled = np.geomspace(low, high, LEVELS).tolist() if levels is None else [level / unit for level in sorted(levels)]
    found = certificate(model.scaled_denoiser(), _events(model, held, n, seed), scaled, twins=twins, seed=seed)
    told = {"run": str(run.folder), "unit": unit, "notes": notes, "seed": seed, **found.to_dict()}
    told |= {} if twin is None else {"twin": str(twin.folder)}
    write_atomic(run.folder / CERTIFICATE, json.dumps(told, indent=2, allow_nan=False) + "\n")
    return Certified(found, unit, tuple(notes))


def denoiser_lines(model: Any, held: Samples, seed: int) -> list[Finding]:
    """Of an audit: what a denoiser that is told the level shows at three of them; none of other models."""
    if not _certifiable(model):
        return []
    widest = model.moments.widest
    low, high = model.levels()
    levels = sorted({min(high, max(low, share * widest)) for share in IN_AUDIT})
    x = _events(model, held, AUDITED, seed)
    return certificate(model.scaled_denoiser(), x, levels, identities=QUICK, seed=seed).findings()


def denoising_model(run: Run) -> Any:
    """The model of a run. Raises BadInput if it has no denoiser that can be certified."""
    model: Any = models.load(run.folder)
    if not hasattr(model, "scaled_denoiser") or not model.denoises:
        raise BadInput(f"{run.folder} holds a {type(model).__name__}, which has no denoiser: take a diffusion")
    if model.blind:
        raise BadInput(
            f"the denoiser of {run.folder} is blind: it answers for all levels at once, and has none to be judged at"
        )
    if not _certifiable(model):
        raise BadInput(f"the denoiser of {run.folder} is always told a label: fit with label_dropout above 0")
    return model


def _certifiable(model: Any) -> bool:
    always = model.labels is not None and model.settings.get("label_dropout") == 0
    return hasattr(model, "scaled_denoiser") and model.denoises and not model.blind and not always


def _held_out(run: Run, holdout: str | None, source: str | None) -> Samples:
    about = run.record()["data"]
    if holdout is None and about["source"] is None:
        raise BadInput(f"the run in {run.folder} was fitted to an array: give --holdout, rows that it did not see")
    if holdout is None:
        return split_again(run, source)[1]
    return load_like(holdout, about["kind"], tuple(about["event_shape"]))


def _unseen(held: Samples, run: Run, source: str | None, notes: list[str]) -> Samples:
    """The rows that a run did not learn from, as far as that is known."""
    about = run.record()["data"]
    if about["source"] is None or about["split"] is None:
        notes.append(f"whether {run.folder} learned from these rows is not known: it was fitted to an array, or to all")
        return held
    mine = split_again(run, source)[0]
    rows = [part.batch(range(len(part))).flatten(1).numpy() for part in (held, mine)]
    learned = {row.tobytes() for row in rows[1]}
    kept = [i for i, row in enumerate(rows[0]) if row.tobytes() not in learned]
    if len(kept) < FEWEST:
        raise BadInput(f"{run.folder} learned from {len(held) - len(kept)} of these {len(held)} rows: give --holdout")
    if len(kept) < len(held):
        notes.append(f"{len(held) - len(kept):,} rows that {run.folder} learned from were left out")
    return held.take(kept)


def _events(model: Any, held: Samples, n: int, seed: int) -> Tensor:
    rows = held.thinned(seed)
    picked = torch.randperm(len(rows), generator=rng.generator(seed, "certified"))[:n]
    x: Tensor = model.scaled(rows.batch(picked), rng.key(seed, "certified"))
    return x.to(model.device)
