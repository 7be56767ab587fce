"""Tables: columns, pairs of columns and verdicts of new rows, beside CTGAN in the same seconds.

    make bench-tables               # about ten minutes
    python bench/tables.py --fast   # a small table, few steps, without the peer: what the tests run

The mixed table has 12 columns: days, minutes, money, incomes of heavy tails, ages, postal codes with zeros before them,
a category of 40 values, one of three, yes and no, a score that is missing for some, counts, and a sum of two others.
`shapes` and `pairs` are those of sdmetrics (1 is best), against rows that neither has seen; `real` is what other real
rows have. `failed` are lines of the audit of as many new rows.

sdmetrics and ctgan need a pandas of before 3, and are not in the group `bench`: install them elsewhere and put that on
PYTHONPATH (pip install --target FOLDER --no-deps sdmetrics ctgan rdt copulas "pandas<3"), or their cells are `-`.
"""

import argparse
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyarrow import csv

import monge

N = 4000
LETTERS = np.array(list("BCDFGKLMNPRSTV"))
CITIES = [f"{a}a{b}o" for a in LETTERS for b in "nrt"][:40]


def mixed(n: int, seed: int = 0) -> pa.Table:
    """Rows of a made-up register, in which nearly everything hangs on age and city."""
    draw = np.random.default_rng(seed)
    city = draw.choice(40, n, p=(w := 1 / np.arange(1.0, 41) ** 0.8) / w.sum())
    age = np.clip(draw.gamma(9, 5, n), 18, 95).astype(int)
    income = np.exp(9.5 + 0.02 * age + 0.3 * np.sin(city) + 0.6 * draw.normal(size=n))
    plan = np.where(income > 35_000, draw.choice(3, n, p=[0.1, 0.3, 0.6]), draw.choice(3, n, p=[0.6, 0.35, 0.05]))
    fee = (10 + 15 * plan + draw.exponential(2, n)).round(2)
    extra = np.where(draw.random(n) < 0.4, 0.0, draw.gamma(2, 5, n).round(2))
    active = draw.random(n) < 0.3 + 0.2 * plan
    score = np.where(draw.random(n) < 0.1 + 0.15 * (plan == 0), np.nan, (0.05 * age + draw.normal(size=n)).round(3))
    since = np.datetime64("2019-01-01") + (draw.beta(2, 1, n) * 1800).astype(int)
    last = np.datetime64("2024-01-01T00:00:00") + (draw.beta(3, 1, n) * 525_600 * (0.5 + 0.5 * active)).astype(
        int
    ).astype("timedelta64[m]")
    return pa.table(
        {
            "since": pa.array(since.astype("datetime64[D]")),
            "last seen": pa.array(last),
            "income": [f"${v:,.2f}" for v in income],
            "age": age,
            "code": [f"{100 * c + k:05d}" for c, k in zip(city, draw.integers(0, 4, n), strict=True)],
            "city": [CITIES[c] for c in city],
            "plan": np.array(["basic", "family", "gold"])[plan],
            "active": active,
            "score": pa.array(score, from_pandas=True),
            "fee": fee,
            "extra": extra,
            "total": (fee + extra).round(2),
        }
    )


def plain(table: pa.Table) -> Any:
    """As pandas, money being numbers."""
    frame = table.to_pandas()
    frame["income"] = frame["income"].str.replace("[$,]", "", regex=True).astype(float)
    return frame.astype({"since": "datetime64[ns]", "last seen": "datetime64[ns]"})


def scores(made: Any, real: Any) -> tuple[float, float]:
    """Shapes of columns, and trends of pairs, by sdmetrics."""
    from sdmetrics.reports.single_table import QualityReport

    kinds = {"b": "boolean", "M": "datetime", "O": "categorical"}
    about = {name: {"sdtype": kinds.get(real[name].dtype.kind, "numerical")} for name in real.columns}
    report = QualityReport()
    report.generate(real, made[real.columns].astype(real.dtypes), {"columns": about}, verbose=False)
    shapes, pairs = report.get_properties()["Score"]
    return float(shapes), float(pairs)


def by_ctgan(train: Any, n: int, seconds: float) -> Any:
    """New rows by CTGAN, trained for about so long: by the time that 22 epochs take more than two."""
    from ctgan import CTGAN

    frame = train.assign(**{name: train[name].astype("int64").astype(float) for name in ("since", "last seen")})
    frame["missing"] = frame["score"].isna().astype(str)
    frame["score"] = frame["score"].fillna(frame["score"].mean())
    told = ["code", "city", "plan", "active", "missing"]
    frame["active"] = frame["active"].astype(str)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  # CTGAN's own
    took = []
    for epochs in (1, 2, 22):  # the first is slower than others
        begun = time.perf_counter()
        CTGAN(epochs=epochs, enable_gpu=False).fit(frame, told)
        took.append(time.perf_counter() - begun)
    model = CTGAN(epochs=max(1, round(20 * (seconds - took[1]) / (took[2] - took[1]))), enable_gpu=False)
    model.fit(frame, told)
    made = model.sample(n)
    made["score"] = made["score"].where(made["missing"] == "False")
    made["active"] = made["active"] == "True"
    return made.assign(
        **{name: made[name].round().astype("int64").astype("datetime64[ns]") for name in ("since", "last seen")}
    )


def of_samples(name: str) -> monge.data.Samples:
    """A table of numbers, as samples."""
    if name == "breast_cancer":
        from sklearn.datasets import load_breast_cancer

        return monge.data.load(load_breast_cancer().data, name=name)
    with np.load(FOLDER[0] / f"{name}.npz", allow_pickle=False) as archive:
        return monge.data.load(archive["x"].astype(np.float32), name=name)


def judged(x: Any, held: monge.data.Samples, train: monge.data.Samples) -> str:
    """The verdict, and the lines that fail."""
    verdict = monge.audit(x, holdout=held, train=train)
    failed = ", ".join(line.name for line in verdict.lines if line.status == "fail")
    return verdict.status + (f": {failed}" if failed else "")


FOLDER = [Path("data")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--seconds", type=float, default=110.0)
    parser.add_argument("--data", type=Path, help="folder of protein.npz")
    parser.add_argument("--methods", default="real,monge,ctgan", help="of the mixed table")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    n = 600 if given.fast else N
    print("| table | method | seconds | shapes | pairs | failed |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        csv.write_csv(mixed(n), path := f"{folder}/mixed.csv")
        samples = monge.data.load(path, missing="learn", derived=True)
    assert samples.code is not None
    train, held = samples.split(0.2)
    one, other = (plain(samples.code.decode(part.x.double().numpy())) for part in (train, held))
    methods = [name for name in given.methods.split(",") if name != "ctgan" or find_spec("ctgan") is not None]
    for method in ("monge",) if given.fast else methods:
        begun, verdict = time.perf_counter(), ""
        if method == "monge":
            amount: dict[str, Any] = {"steps": 20} if given.fast else {"budget": given.seconds}
            model = monge.Diffusion().fit(train, show=False, **amount)
            x = model.sample(len(held) if given.fast else 2000, show=False)
            made = plain(samples.code.decode(x.double().numpy()))
            verdict = judged(x, held, train)
        else:
            made = by_ctgan(one, 2000, given.seconds) if method == "ctgan" else plain(mixed(2000, seed=1))
        took = time.perf_counter() - begun
        scored = not given.fast and find_spec("sdmetrics") is not None
        found = "{:.3f} | {:.3f}".format(*scores(made, other)) if scored else "- | -"
        print(f"| mixed | {method} | {took:.0f} | {found} | {verdict} |", flush=True)
    if given.data is not None:
        FOLDER[0] = given.data
    for name in () if given.fast else ("breast_cancer", *(["protein"] if given.data else [])):
        train, held = of_samples(name).split(0.3)
        begun = time.perf_counter()
        model = monge.Diffusion().fit(train, budget=given.seconds, show=False)
        took = time.perf_counter() - begun
        verdict = judged(model.sample(2000, show=False), held, train)
        print(f"| {name} | monge | {took:.0f} | - | - | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
