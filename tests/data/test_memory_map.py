"""A file of gigabytes is not read into memory: neither loaded, nor split, fingerprinted and scaled."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROWS, COLUMNS = 9 * 2**16, 1024  # float32: 2.25 GiB, past what 31 bits can address
SCRIPT = """
import re, sys, threading, time
import torch
from monge.data import Scaling, load

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1)) / 1024

peak, running = 0.0, True
def watch():
    global peak
    while running:
        peak = max(peak, anonymous())
        time.sleep(0.002)

load("moons?n=10"), Scaling.fit(load("moons?n=10"))
before = anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
data = load(sys.argv[1], kind="vectors")
train, holdout = data.split(0.2)
Scaling.fit(train)
batch = train.batch(torch.arange(64))
running = False
watcher.join()
print(len(data), len(holdout), tuple(batch.shape), max(peak, anonymous()) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_gigabytes_stay_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "big.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (ROWS, COLUMNS)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        size = file.tell() + 4 * ROWS * COLUMNS
        try:
            file.truncate(size)
        except OSError:
            pytest.skip("the temporary disk does not hold a sparse file of 2 GB")
        file.write(np.random.default_rng(0).random((2, COLUMNS), np.float32).tobytes())
    try:
        done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, timeout=120)
    finally:
        path.unlink()
    assert done.returncode == 0, done.stderr
    rows, held, *shape, grown = done.stdout.replace("(", "").replace(")", "").replace(",", "").split()
    assert (int(rows), int(held), *map(int, shape)) == (ROWS, round(0.2 * ROWS), 64, COLUMNS)
    assert float(grown) < 230  # MiB, a tenth of the file; the chunks of 16 MiB and what malloc keeps make 70 to 180
