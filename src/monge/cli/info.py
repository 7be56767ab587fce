"""`monge info`."""

from collections.abc import Mapping
from typing import Any

from monge.cli.arguments import RunFolder
from monge.files import DERIVED
from monge.objects import words
from monge.runs.folder import MADE_BY_FIT, Run, read_json


def info(folder: RunFolder) -> int:
    """What a run is: its model, its data, how it was trained, and what was made from it."""
    from rich.console import Console
    from rich.table import Table

    run = Run(folder)
    record = run.record()
    about: Mapping[str, Any] = record.get("data", {})
    shape = "x".join(map(str, about.get("event_shape", [])))
    facts = {
        "run": folder,
        "state": _state(run),
        "model": f"{record.get('family')} ({_settings(record)})",
        "labels": _labels(record.get("labels")),
        "data": f"{about.get('name')}: {about.get('n'):,} {about.get('kind')} of {shape}",
        "source": about.get("source") or "an array",
        "held out": _listed(about.get("split")) or "nothing",
        "fingerprint": about.get("fingerprint"),
        "told of the data": "; ".join(about.get("notes", [])) or None,
        "scaling": record.get("scaling", {}).get("statement"),
        "training": _listed(record.get("training")),
        "seed": record.get("seed"),
        "versions": _listed(record.get("versions")),
        "files": ", ".join(name for name in (*MADE_BY_FIT, *DERIVED) if (folder / name).exists()),
    }
    if run.verdict.exists():
        facts["verdict"] = read_json(run.verdict, "").get("status")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, str(value))
    Console().print(table)
    return 0


def _state(run: Run) -> str:
    if run.is_fitted:
        return "fitted"
    step = run.last_checkpoint
    return f"unfinished, {f'last checkpoint at step {step:,}' if step else 'no checkpoint yet'}: fit it with --resume"


def _settings(record: Mapping[str, Any]) -> str:
    told = {name: words(value) for name, value in record.get("settings", {}).items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in told.items())


def _labels(labels: Mapping[str, Any] | None) -> str:
    if labels is None:
        return "none"
    if labels["mean"]:
        return f"vectors of {len(labels['mean'])}"
    names = labels["names"]
    return ", ".join(names[label] if names else str(label) for label in labels["seen"])


def _listed(values: Any) -> str:
    if not isinstance(values, Mapping):
        return ""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
