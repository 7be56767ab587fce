"""Kill real processes in the middle of `fit`, go on with what they left, and compare the weights with a whole run's.

    python killing.py FOLDER

One process imports everything and starts each fit as a child of its own, so that a test of all families is short.
Prints a line for each family and signal; fails at the first that does not hold.
"""

import os
import signal
import sys
import time
from pathlib import Path

import lightning_fabric  # noqa: F401  (3 s to import, which no child has to spend again)
import torch
import torch._dynamo  # nor this one, which the first step of an optimiser brings
from toys import TOYS

import monge
from monge.training import read_tensors

STEPS = 40


def fit(family, out, checkpoint_s):
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    model = family()
    options = {} if model.defaults(monge.data.load(x)) is None else {"steps": STEPS, "checkpoint_s": checkpoint_s}
    model.fit(x, out=out, resume=True, show=False, **options)


def child(family, out, checkpoint_s=60.0):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        fit(family, out, checkpoint_s)
        status = 0
    finally:
        os._exit(status)


def blows(family, stepped):
    """Every family is killed; Ctrl-C is the loop's business, whoever the family is, and is tried on some."""
    return (signal.SIGKILL, signal.SIGINT) if stepped and family in (monge.Diffusion, *TOYS) else (signal.SIGKILL,)


def main(folder):
    torch.set_num_threads(1)  # threads of the parent would be missing in its children
    for family in (*monge.models.FAMILIES, *TOYS):
        stepped = family().defaults(monge.data.load(torch.eye(3))) is not None
        whole = folder / family.__name__ / "whole"
        assert os.waitpid(child(family, whole), 0)[1] == 0
        expected, _ = read_tensors(whole / "weights.safetensors")
        for blow in blows(family, stepped):
            cut = folder / family.__name__ / blow.name
            pid, deadline = child(family, cut, checkpoint_s=0.0), time.monotonic() + 60
            while stepped and not list((cut / "checkpoints").glob("*.safetensors")) and time.monotonic() < deadline:
                time.sleep(0.002)
            os.kill(pid, blow)
            assert os.waitpid(pid, 0)[1] != 0
            assert not (cut / "weights.safetensors").exists(), "it had finished"
            assert os.waitpid(child(family, cut), 0)[1] == 0
            got, _ = read_tensors(cut / "weights.safetensors")
            assert expected.keys() == got.keys()
            assert all(torch.equal(expected[name], got[name]) for name in expected)
            print(family.__name__, blow.name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
