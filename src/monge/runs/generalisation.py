"""Does a family generalise from so many rows, or copy them? Two models of disjoint halves, for growing halves."""

import copy
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge import data as datasets
from monge import progress, report, rng
from monge.data import Samples, Scaling
from monge.denoisers import denoised, denoising_errors, noisy
from monge.densities import Gaussian, likeliest
from monge.errors import BadInput
from monge.evaluation import Transition, Twins, distinct, jacobian, overlap, transition, twins
from monge.files import write_atomic
from monge.models import Family
from monge.runs.folder import RESULT

STARTS, SHOWN = 200, 8
NEW = 1000  # real rows, at most, that neither model learns from
NEW_SHARE = 0.1
NEW_ROWS = "new_rows.npz"
LOOKED = 10_000  # rows that are looked at for repeats, at least
SPARE = 1.25  # rows that are looked at for repeats, over those that are needed
LEVELS, ROWS = 8, 256  # at which denoising errors are taken, and of so many rows
BASES, IN_BASES, LEADING, WHOLE = 4, 0.5, 16, 1024  # new rows; level, over the s.d. of a value; directions; values
FEWEST = 3  # rows of a half: of fewer none is the second nearest


class Pictures(NamedTuple):
    """Samples of the first starts by both models, and the training rows of each model that are nearest to its own,
    [2, k, *event], data units."""

    samples: Tensor
    nearest: Tensor


class Errors(NamedTuple):
    """Mean squared denoising error of both models at each level, in units of the scaled data, of rows that each learned
    from and of new ones, and the standard error of the latter; disagreement: |D_A - D_B|^2 / 4 of new rows, the
    variance of their mean."""

    levels: tuple[float, ...]
    trained: Float[Tensor, "2 levels"]
    held_out: Float[Tensor, "2 levels"]
    error: Float[Tensor, "2 levels"]
    disagreement: Float[Tensor, " levels"]


class Bases(NamedTuple):
    """Of the Jacobians of both models at one noisy new row after another, at one level: how many directions each keeps,
    [2, rows], and how far the 16 that they keep most are the same (`monge.evaluation.overlap`), [rows]."""

    sigma: float
    dimension: Float[Tensor, "2 rows"]
    overlap: Float[Tensor, " rows"]


@dataclass(frozen=True, eq=False)
class Generalisation:
    """What `generalisation` found: `print` it for a table.

    twins: by number of training rows. transition: curves, and where they turn. errors: by number of rows; None for
    families that do not denoise; bases, likewise, of images and fields of up to 1,024 values. pictures: to look at.
    context: the family, the data, the seed, repeats left out.
    """

    twins: tuple[Twins, ...]
    transition: Transition
    errors: tuple[Errors | None, ...]
    bases: tuple[Bases | None, ...]
    pictures: tuple[Pictures, ...]
    context: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON knows, without the pictures."""
        errors = [
            None
            if part is None
            else {"levels": list(part.levels)} | {k: v.tolist() for k, v in part._asdict().items() if k != "levels"}
            for part in self.errors
        ]
        bases = [
            None
            if part is None
            else {"sigma": part.sigma, "dimension": part.dimension.tolist(), "overlap": part.overlap.tolist()}
            for part in self.bases
        ]
        near = [[found._asdict() for found in part.near] for part in self.twins]
        return {**self.context, **self.transition.to_dict(), "near": near, "denoising": errors, "bases": bases}

    def draw(self, out: Path, look: report.Look) -> None:
        """Write twins.png, of pictures and fields, and curves.png into a folder."""
        x = [part.samples for part in self.pictures]
        figures = {"curves.png": report.twin_curves(self.transition)}
        if x[0].ndim > 3:
            learned = [part.nearest for part in self.pictures]
            figures["twins.png"] = report.twin_pictures(x, learned, self.transition.sizes, look=look)
        for name, figure in figures.items():
            write_atomic(out / name, report.png(figure))

    def __str__(self) -> str:
        told, curves = self.transition, self.transition.curves
        names = {
            "twin": "twin",
            "own": "own row",
            "held-out": "new rows'",
            "copied": "copies",
            "nearer to twin": "twin first",
        }
        rows = [("rows", *names.values())]
        for i, n in enumerate(told.sizes):
            cells = (f"{c.value[i]:.3f} [{c.low[i]:.3f}, {c.high[i]:.3f}]" for c in (curves[name] for name in names))
            rows.append((f"{n:,}", *cells))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(
            [
                *lines,
                "",
                "twin, own row, new rows': cosine of a sample with its twin, with the nearest row that its model",
                "learned from, and that of new real rows with theirs. copies: share. twin first: share nearer",
                "to its twin.",
                "",
                f"copying ends {told.copying_ends.words(told.sizes)}",
                f"twins agree {told.twins_agree.words(told.sizes)}",
            ]
        )


def generalisation(
    family: Family | type[Family],
    data: Any,
    sizes: Sequence[int],
    *,
    steps: int | None = None,
    budget: str | float | None = None,
    n: int = STARTS,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    show: bool = True,
    **training: Any,
) -> Generalisation:
    """For each size two models, of so many rows each that share none, are given the same noise: small sets are copied,
    from large ones both make the same new sample (Kadkhodaie et al. 2024; course, Fig. 13).

    family: a family, or its class; a fresh one is fitted each time. Both models of a size share scaling and moments,
    those of their rows together, and with them noise levels and starts. data: what `monge.data.load` takes; labels are
    left out, rows that repeat others too (`monge.evaluation.distinct`), and a tenth, 1,000 at most, is kept to compare
    with. sizes: rows of each model; smaller sets are parts of the larger ones. steps or budget: of each model's
    training, and other settings of `fit` as `training`; no rows are kept aside for a held-out loss unless they say so.
    n: starts. out: folder, of a run each in size-N/a and size-N/b, twins.png, curves.png, generalisation.json
    and new_rows.npz, those kept to compare with; resume: go on with what is there.

    Raises BadInput for a size below 3 or above half of the rows that are left, for a family whose samples have no start
    that two models could be given, and for samples that are not finite.

    >>> from monge.models import RealNVP
    >>> rows = torch.randn(100, 2, generator=torch.manual_seed(0))
    >>> found = generalisation(RealNVP, rows, [8, 20], steps=3, n=16, show=False)
    >>> found.transition.sizes, sorted(found.transition.curves)[0]
    ((8, 20), 'copied')
    """
    proto = family() if isinstance(family, type) else family
    if not proto.starts:
        raise BadInput(
            f"samples of a {type(proto).__name__} have no start that two models could be given: take a flow, a "
            "diffusion, flow matching or a GAN"
        )
    if proto.settings.get("labels"):
        raise BadInput("twins are compared without labels: leave labels=True out")
    sizes = _sizes(sizes)
    ours = sorted({"scaling", "moments", "source", "watch"} & set(training))
    if ours:
        raise BadInput(f"{ours[0]} is what both models are given here, or do not take: leave it out")
    if n < 2:
        raise BadInput(f"n is the number of starts, 2 or more, not {n}")
    samples = datasets.load(data)
    halves, held, left_out = _halves(samples.thinned(seed), sizes, seed)
    found, errors, bases, pictures = [], [], [], []
    given = {"steps": steps, "budget": budget, "seed": seed, "resume": resume, **training}
    if proto.defaults(halves[0]) is not None:
        given = {"validation": 0.0, **given}
    for size in sizes:
        folder = None if out is None else Path(out) / f"size-{size}"
        rows = [half.apart(range(size)) for half in halves]
        progress.say(f"{size:,} rows each", show=show)
        pair = _fitted(proto, rows, folder, given | {"show": show})
        one, seen, kept, looked = _compared(pair, rows, held, n, seed)
        found.append(one)
        errors.append(seen)
        bases.append(kept)
        pictures.append(looked)
    context = {
        "family": type(proto).__name__,
        "data": samples.name,
        "starts": n,
        "new_rows": len(held),
        "repeats_left_out": left_out,
        "seed": seed,
    }
    told = transition(found, seed=seed), tuple(errors), tuple(bases), tuple(pictures)
    result = Generalisation(tuple(found), *told, context)
    if out is not None:
        result.draw(Path(out), report.Look.of(samples))
        content = io.BytesIO()
        np.savez(content, x=held.x.numpy())
        write_atomic(Path(out) / NEW_ROWS, content.getvalue())
        write_atomic(Path(out) / RESULT, json.dumps(result.to_dict(), indent=2, allow_nan=False) + "\n")
    return result


def _sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    found = sorted({int(size) for size in sizes})
    if not found or found[0] < FEWEST:
        raise BadInput(f"sizes are numbers of training rows, {FEWEST} or more, not {list(sizes)}")
    return tuple(found)


def _halves(samples: Samples, sizes: tuple[int, ...], seed: int) -> tuple[list[Samples], Samples, int]:
    """Rows for each model in the order in which they are taken, rows for neither, and how many repeats are left out."""
    order = torch.randperm(len(samples), generator=rng.generator(seed, "generalisation"))
    new = max(
        2, min(NEW, round(NEW_SHARE * len(samples)))
    )  # whatever the sizes, which may grow when it is gone on with
    looked = order[: max(LOOKED, int(SPARE * (2 * sizes[-1] + new)))] if samples.groups is None else order
    rows = looked[distinct(samples.batch(looked), near=samples.kind != "vectors")]
    if len(rows) < 2 * sizes[-1] + new and len(looked) < len(order):
        looked = order
        rows = looked[distinct(samples.batch(looked), near=samples.kind != "vectors")]
    kept, left_out = samples.apart(rows), len(looked) - len(rows)
    if len(rows) - new < 2 * sizes[-1]:
        repeats = f", {left_out:,} repeats left out" if left_out else ""
        raise BadInput(
            f"{samples.name} has {len(rows):,} rows{repeats}, of which {new:,} are kept to compare with: sizes go up "
            f"to half of the others, {max(0, len(rows) - new) // 2:,}, and {sizes[-1]:,} is more"
        )
    if kept.groups is None:
        rest = torch.arange(new, len(rows))
        return [kept.apart(rest[0::2]), kept.apart(rest[1::2])], kept.apart(range(new)), left_out
    others, held = kept.split(new / len(rows), seed)
    halves = list(others.split(0.5, seed))
    if min(map(len, halves)) < sizes[-1]:
        raise BadInput(f"the halves, of whole groups, have {min(map(len, halves)):,} rows, and {sizes[-1]:,} is more")
    return halves, held, left_out


def _fitted(proto: Family, rows: list[Samples], folder: Path | None, given: dict[str, Any]) -> list[Any]:
    """Two models that share their units, those of both halves."""
    units, union = copy.deepcopy(proto), torch.cat([part.batch(range(len(part))) for part in rows])
    units.scaling = Scaling.fit(rows[0].of(union), bend=proto.bends)
    shared: dict[str, Any] = {"scaling": units.scaling}
    if proto.takes_moments:
        scaled = units.scaled(union, rng.key(given["seed"], "moments"))
        kind = likeliest(scaled, periodic=bool(proto.settings.get("periodic")))
        shared["moments"] = Gaussian.estimate(scaled, kind)
    pair: list[Any] = [copy.deepcopy(proto) for _ in rows]
    for name, model, part in zip("ab", pair, rows, strict=True):
        model.fit(part, out=None if folder is None else folder / name, **shared, **given)
    return pair


def _compared(
    pair: list[Any], rows: list[Samples], held: Samples, n: int, seed: int
) -> tuple[Twins, Errors | None, Bases | None, Pictures]:
    drawn = [model.sample(n, seed=seed) for model in pair]
    scaling = pair[0].must_be_fitted()
    new = held.batch(range(len(held)))
    learned = [part.batch(range(len(part))) for part in rows]
    found = twins(*(scaling.forward(x) for x in (*drawn, *learned, new)))
    nearest = [x[found.nearest[i, :SHOWN]] for i, x in enumerate(learned)]
    pictures = Pictures(torch.stack([x[:SHOWN] for x in drawn]), torch.stack(nearest))
    scaled = [scaling.forward(x[:ROWS]) for x in (*learned, new)]
    return found, _errors(pair, scaled, seed), _bases(pair, scaled[2][:BASES], seed), pictures


def _bases(pair: list[Any], new: Tensor, seed: int) -> Bases | None:
    if not _denoise(pair) or new.ndim < 3 or new[0].numel() > WHOLE:
        return None
    moments = pair[0].moments
    sigma = IN_BASES * float(moments.covariance.eigenvalues.mean().sqrt())
    y = noisy(new.to(pair[0].device), sigma, seed, "bases")
    k = min(LEADING, new[0].numel())
    found = [[jacobian(model.scaled_denoiser(), one, sigma, k=k) for one in y] for model in pair]
    dimension = torch.tensor([[each.dimension for each in part] for part in found])
    return Bases(sigma, dimension, torch.tensor([overlap(*both) for both in zip(*found, strict=True)]))


def _denoise(pair: list[Any]) -> bool:
    return all(hasattr(model, "scaled_denoiser") and model.denoises for model in pair)


def _errors(pair: list[Any], rows: list[Tensor], seed: int) -> Errors | None:
    if not _denoise(pair):
        return None
    low, high = pair[0].levels()
    levels = tuple(np.geomspace(low, high, LEVELS).tolist())
    rows = [x.to(pair[0].device) for x in rows]
    denoisers = [model.scaled_denoiser() for model in pair]
    trained = [denoising_errors(D, x, levels, seed=seed).mean(1) for D, x in zip(denoisers, rows, strict=False)]
    held, apart = [], []
    for i, sigma in enumerate(levels):
        y = noisy(rows[2], sigma, seed, "denoising", i)
        both = torch.stack([denoised(D, y, sigma) for D in denoisers]).double()
        held.append((both - rows[2]).square().flatten(2).mean(2))
        apart.append((both[0] - both[1]).square().mean() / 4)
    new = torch.stack(held, 1)  # [2, levels, n]
    error = new.std(2) / len(rows[2]) ** 0.5
    return Errors(levels, torch.stack(trained), new.mean(2), error, torch.stack(apart))
