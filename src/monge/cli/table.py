"""The verdict on the terminal."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monge import report
from monge.evaluation import Line, Verdict

COLOURS = {"pass": "green", "fail": "red", "undecided": "yellow"}
SECTIONS = ("fidelity", "diversity", "memorisation", "likelihood", "denoiser")


def tell(verdict: Verdict) -> None:
    """Print the verdict as a table, then in a sentence."""
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("", "value", "95% interval", "real data", "margin", "p", "status"):
        table.add_column(name, justify="left" if name in ("", "status") else "right", no_wrap=True)
    for section in SECTIONS:
        lines: tuple[Line, ...] = getattr(verdict, section)
        if lines:
            table.add_row(Text(section, style="bold"))
        for line in lines:
            table.add_row(*_cells(line))
    console.print(Padding(table, (1, 0)))
    for line in verdict.lines:
        if line.status != "pass":
            console.print(Text.assemble((line.name, COLOURS[line.status]), f": {line.note}"))
    for warning in verdict.context.get("warnings", []):
        console.print(Text(f"warning: {warning}", style="yellow"))
    word = f"{report.SYMBOLS[verdict.status]} {verdict.status.upper()}"
    console.print(
        Padding(Text.assemble((word, f"bold {COLOURS[verdict.status]}"), f"  {report.reason(verdict)}"), (1, 0, 0, 0))
    )
    console.print(Text(f"  {report.counts(verdict)}", style="dim"))


def _cells(line: Line) -> list[Text | str]:
    low, high = line.interval
    p = "-" if line.p_value is None else "<1e-4" if line.p_value < 1e-4 else f"{line.p_value:.2g}"
    status = Text(line.status, style=COLOURS[line.status])
    numbers = [_number(line.value), f"{_number(low)} to {_number(high)}", _number(line.floor), _number(line.margin)]
    return [f"  {line.name}", *numbers, p, status]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.3f}"
