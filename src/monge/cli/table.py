"""The verdict on the terminal."""

import itertools
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monge import report
from monge.evaluation import CONCERNS, POWER, SECTIONS, Distance, Line, Outcome, Plan, Verdict, across

COLOURS = {"pass": "green", "fail": "red", "undecided": "yellow"}
WIDE = 100  # columns of a terminal that has room for intervals


def tell(verdict: Verdict) -> None:
    """Print what is said of each defect, then line by line, then the verdict in a sentence."""
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    wide = console.width >= WIDE
    for name in ("", "value", *(("95% interval",) if wide else ()), "real data", "margin", "p", "power", "status"):
        table.add_column(name, justify="left" if name in ("", "status") else "right", no_wrap=True)
    for section in SECTIONS:
        lines: list[Line] = [line for line in getattr(verdict, section) if not line.blind]
        if lines:
            table.add_row(Text(section, style="bold"))
        for line in lines:
            table.add_row(*_cells(line, wide))
    unused = [line for line in verdict.lines if line.blind]
    if unused:
        table.add_row(Text("not used", style="bold dim"))
    for line in unused:
        rows = verdict.needed(line)
        table.add_row(*_cells(line, wide)[:-1], "too few rows" if rows is None else f"needs {rows:,} rows", style="dim")
    console.print(Padding(table, (1, 0)))
    for line in verdict.lines:
        if line.status == "fail":
            detail = f" {line.detail[:1].upper()}{line.detail[1:]}." if line.detail else ""
            console.print(Text.assemble((line.name, COLOURS[line.status]), f": {line.note}{detail}"))
    for warning in verdict.context.get("warnings", []):
        console.print(Text(f"warning: {warning}", style="yellow"))
    for outcome in verdict.defects:
        symbol = f"  {report.SYMBOLS[outcome.status]} "
        console.print(Text.assemble((symbol, COLOURS[outcome.status]), _told(outcome)))
    word = f"{report.SYMBOLS[verdict.status]} {verdict.status.upper()}"
    console.print(
        Padding(Text.assemble((word, f"bold {COLOURS[verdict.status]}"), f"  {report.reason(verdict)}"), (1, 0, 0, 0))
    )
    console.print(Text(f"  {report.counts(verdict)}", style="dim"))


def tell_plan(found: Plan) -> None:
    """Print the chance of seeing each reference defect, and the rows that it needs."""
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    wide = console.width >= WIDE
    for name in ("reference defect", *(("seen by",) if wide else ()), "power", "generated", "held out"):
        table.add_column(name, justify="left" if name in ("reference defect", "seen by") else "right")
    for concern, needs in itertools.groupby(found.needs, lambda need: need.concern):
        kinds = list(needs)
        told = CONCERNS[concern].excluded.format(f"{100 * kinds[0].size:g}%", "...")
        if len(kinds) > 1:
            table.add_row(told)
        for need in kinds:
            enough = need.power >= POWER
            rows = ("enough", "enough") if enough else ("-", "-")
            if not enough and need.rows is not None:
                rows = f"{need.rows:,}", f"{float(f'{need.rows * found.held_out / found.compared:.2g}'):,.0f}"
            words = f"  {need.kind}" if len(kinds) > 1 else told.replace("...", need.kind)
            table.add_row(
                words,
                *((need.line,) if wide else ()),
                Text(f"{need.power:.0%}", style="" if enough else "yellow"),
                *rows,
            )
    console.print(Padding(table, (1, 0)))
    console.print(
        Text(
            f"  With {found.generated:,} generated and {found.held_out:,} held-out rows, of which "
            f"{found.held_out - found.compared:,} are learned from. A defect is seen with a chance of {POWER:.0%} "
            "where its rows are enough; an audit cannot exclude what it would not see.",
            style="dim",
        )
    )


def tell_distance(a: str, b: str, found: Distance) -> None:
    """Print a distance, its interval, and what the second cloud is from itself."""
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in (found.metric, "rows", "value", "95% interval"):
        table.add_column(name, justify="left" if name == found.metric else "right", no_wrap=name != found.metric)
    interval = f"{_number(found.interval[0])} to {_number(found.interval[1])}"
    table.add_row(f"{a} from {b}", f"{found.rows[0]:,}, {found.rows[1]:,}", _number(found.value), interval)
    for name, value in ((f"{a} from {b}", found.at_size), (f"{b} from itself", found.real)):
        table.add_row(name, f"{found.size:,}, {found.size:,}", _number(value), "")
    console.print(Padding(table, (1, 0)))


def tell_across(names: Sequence[str], verdicts: Sequence[Verdict]) -> None:
    """Print the verdict of each run in a sentence, and each line over the runs."""
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("", "mean", "95% over runs", "real data", "pass", "open", "fail"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for line in across(verdicts):
        counts = [str(line.statuses.count(status) or "-") for status in ("pass", "undecided", "fail")]
        interval = f"{_number(line.interval[0])} to {_number(line.interval[1])}"
        table.add_row(line.name, _number(line.value), interval, _number(line.floor), *counts)
    console.print(Padding(table, (1, 0)))
    for name, verdict in zip(names, verdicts, strict=True):
        word = f"{report.SYMBOLS[verdict.status]} {verdict.status.upper()}"
        console.print(Text.assemble((word, f"bold {COLOURS[verdict.status]}"), f"  {name}: {report.reason(verdict)}"))


def _told(outcome: Outcome) -> str:
    if outcome.status != "pass" or outcome.smallest is None or outcome.size is None or outcome.smallest >= outcome.size:
        return outcome.words
    return f"{outcome.words} ({100 * outcome.smallest:.2g}% would have been found, 19 times of 20)"


def _cells(line: Line, wide: bool) -> list[Text | str]:
    low, high = line.interval
    p = "-" if line.p_value is None else "<1e-4" if line.p_value < 1e-4 else f"{line.p_value:.2g}"
    power = "-" if line.power is None else f"{line.power:.0%}"
    status = Text(line.status, style=COLOURS[line.status])
    interval = [f"{_number(low)} to {_number(high)}"] if wide else []
    numbers = [_number(line.value), *interval, _number(line.floor), _number(line.margin)]
    return [f"  {line.name}", *numbers, p, power, status]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.3f}"
