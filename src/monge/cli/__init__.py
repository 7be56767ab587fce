"""The command line: the only place where strings become objects."""

import sys
import warnings

from monge.cli.answering import restore
from monge.cli.app import app, run, warn
from monge.cli.certifying import certify
from monge.cli.chaining import chain
from monge.cli.denoising import denoise
from monge.cli.fitting import demo, fit
from monge.cli.generalising import generalise
from monge.cli.info import info
from monge.cli.judging import audit
from monge.cli.measuring import distance
from monge.cli.sampling import sample

__all__ = ["app", "main", "run"]

for command in (demo, fit, sample, audit, certify, generalise, distance, denoise, restore, info, chain):
    app.command()(command)


def main() -> None:
    """Run the command line of this process, and leave with its exit status."""
    warnings.showwarning = warn
    sys.exit(run(sys.argv[1:]))
