"""`monge chain`: Markov chains on a law by its name."""

import difflib
import inspect
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monge.cli.arguments import Force, Seed
from monge.errors import BadInput
from monge.files import refuse_overwrite, write_atomic

if TYPE_CHECKING:
    from monge.samplers import Chains

SAMPLERS = ("hmc", "mala", "ula", "metropolis-hastings", "gibbs", "wolff", "replica-exchange")
STEPS = {"hmc": "h", "mala": "h", "ula": "h", "metropolis-hastings": "size"}  # what each calls its step
LATTICES = ("phi4", "ising")


def chain(
    law: Annotated[str, typer.Argument(metavar="LAW", help="phi4, ising, double-well, funnel, rings, banana, ...")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, .nc, as ArviZ reads it.")],
    shape: Annotated[str | None, typer.Option(help="Sides of the lattice: 32,32.")] = None,
    kappa: Annotated[float | None, typer.Option(help="phi4: coupling of neighbours.")] = None,
    lam: Annotated[float | None, typer.Option(help="phi4: quartic coupling.")] = None,
    field: Annotated[float | None, typer.Option(help="phi4: external field.")] = None,
    beta: Annotated[float | None, typer.Option(help="ising: inverse temperature; else the critical one.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Of the law: name=value.")] = None,
    sampler: Annotated[str | None, typer.Option(help=f"{', '.join(SAMPLERS)}; wolff for lattices, else hmc.")] = None,
    step: Annotated[
        float | None, typer.Option(help="Step to begin with, tuned in the warm-up; of ula, the step itself.")
    ] = None,
    chains: Annotated[int, typer.Option(min=1, help="Number of chains.")] = 16,
    draws: Annotated[int, typer.Option(min=1, help="Draws of each, after warm-up.")] = 1000,
    warmup: Annotated[int | None, typer.Option(min=0, help="Steps before, while the sampler is tuned.")] = None,
    thin: Annotated[int, typer.Option(min=1, help="Steps for each draw.")] = 1,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="All draws of x in OUTPUT, or the last and what is observed.")
    ] = True,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the chains of OUTPUT where they stopped.")
    ] = False,
    force: Force = False,
) -> int:
    """Sample a law by Markov chains; tell means with their errors, and whether to believe them.

    Writes OUTPUT (draws, their energy and, of a lattice, M and |M|), its traces beside it (.png), and while
    it runs OUTPUT.part, from which --resume goes on.
    """
    if output.suffix != ".nc":
        raise BadInput(f"{output} must end in .nc: chains are written as NetCDF, for ArviZ")
    for path in (output, output.with_suffix(".png")):
        refuse_overwrite(path, force=force)
    given = {"shape": shape, "kappa": kappa, "lam": lam, "field": field, "beta": beta}
    made = _law(law, {name: value for name, value in given.items() if value is not None}, settings or [])
    name = sampler or ("wolff" if law.lower() in LATTICES else "hmc")
    if name not in SAMPLERS:
        raise BadInput(f"no sampler {name!r}: there are {', '.join(SAMPLERS)}")
    typer.echo(f"monge chain: {chains} chains of {draws:,} draws on {law} by {name}")
    part = output.with_name(f"{output.name}.part")
    if part.exists() and not resume:
        raise BadInput(f"{part} holds chains that were stopped: --resume goes on with them; or delete it")

    from monge import samplers

    if step is not None and name not in STEPS:
        raise BadInput(f"{name} has no step: --step is for {', '.join(STEPS)}")
    if step is not None and not 0 < step < math.inf:
        raise BadInput(f"--step must be above 0, and finite, not {step}")
    found = getattr(samplers, name.replace("-", "_"))(
        made,
        **({} if step is None else {STEPS[name]: step}),
        chains=chains,
        draws=draws,
        warmup=warmup,
        thin=thin,
        keep=keep,
        seed=seed,
        observe=_observables(made),
        out=part,
        resume=resume,
    )
    _write(found, output)
    part.unlink()
    _tell(found)
    typer.echo(f"chains {output}   traces {output.with_suffix('.png')}")
    return 0


def _law(name: str, given: dict[str, Any], settings: list[str]) -> Any:
    """The law of that name, of these options."""
    from monge import densities
    from monge.cli.names import kebab
    from monge.cli.settings import parse

    known = {
        kebab(n): getattr(densities, n) for n in ("Banana", "DoubleWell", "Funnel", "Ising", "Moons", "Phi4", "Rings")
    }
    if name.lower() not in known:
        close = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.5)
        nearest = f"did you mean {' or '.join(close)}? " if close else ""
        raise BadInput(f"no law {name!r}: {nearest}there are {', '.join(known)}")
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--set {text}: give a name and a value, such as --set mu=-4")
        given[key.strip()] = parse(value.strip())
    if isinstance(given.get("shape"), str):
        try:
            given["shape"] = tuple(int(side) for side in given["shape"].split(","))
        except ValueError as error:
            raise BadInput(f"--shape {given['shape']}: give sides such as 32,32") from error
    law, takes = known[name.lower()], inspect.signature(known[name.lower()]).parameters
    for key in given:
        if key not in takes:
            raise BadInput(f"{name} has no {key}: it has {', '.join(takes) or 'no settings'}")
    missing = [f"--{key}" for key, what in takes.items() if what.default is what.empty and key not in given]
    if missing:
        raise BadInput(f"{name} needs {' and '.join(missing)}")
    try:
        return law(**given)
    except TypeError as error:
        raise BadInput(f"{name}: {error}") from error


def _observables(law: Any) -> dict[str, Callable[[Any], Any]]:
    """Of a field, its mean and the size of that."""
    if len(law.event_shape) < 2:
        return {}
    return {"M": lambda x: x.flatten(1).mean(1), "|M|": lambda x: x.flatten(1).mean(1).abs()}


def _write(found: "Chains", output: Path) -> None:
    """The draws, and their traces, atomically."""
    from monge.report import png, traces

    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        found.to_arviz().to_netcdf(Path(folder) / "chains.nc")
        (Path(folder) / "chains.nc").replace(output)
    write_atomic(output.with_suffix(".png"), png(traces(found.quantities()), 130))


def _tell(found: "Chains") -> None:
    """A row for each quantity: mean, Monte Carlo error, effective draws, R-hat."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("", "mean", "± error", "ESS", "R-hat"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, row in found.summary().items():
        table.add_row(name, f"{row['mean']:.5g}", f"{row['error']:.2g}", f"{row['ess']:,.0f}", f"{row['r_hat']:.3f}")
    console = Console()
    console.print(Padding(table, (1, 0)))
    swaps = "" if found.swaps is None else f", neighbours swapped {float(found.swaps.mean()):.0%} of the times"
    console.print(
        f"{float(found.acceptance.mean()):.0%} accepted{swaps}, {found.divergences} divergences, {found.seconds:.1f} s"
    )
