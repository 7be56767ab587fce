"""Addressed randomness: a random number is a function of where it is used, never of what was drawn before.

Every draw has an *address* ``(seed, *path)``, for instance ``(0, "reverse", step)``. Under one address, row i of
the result belongs to sample i and to nobody else: it does not change with the number of rows, with the batch
that asks for it, or with the device that will hold it. The counter-based generator Philox (Salmon et al.,
*Parallel random numbers: as easy as 1, 2, 3*, 2011) makes that cheap: row i owns a block of counters, and
a run of rows is one call.
"""

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

WORDS_PER_COUNT = 8  # one Philox4x64 counter yields four 64-bit words, that is eight of 32 bits
# of torch's CPU generator, a Mersenne twister: its state holds 624 words of 32 bits as int64, after 24 bytes
TWISTER_WORDS, TWISTER_START = 624, 24


def key(seed: int, *path: int | str) -> int:
    """128-bit key of an address, the same on every machine and in every run.

    >>> key(0, "train", 3) == key(0, "train", 3) != key(0, "train", 4)
    True
    """
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, *path: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator for the draws of one address (shuffles, bootstraps, one training step).

    >>> torch.equal(torch.rand(2, generator=generator(0, "a")), torch.rand(2, generator=generator(0, "a")))
    True
    """
    whole = key(seed, *path)
    made = torch.Generator(device=device).manual_seed(whole & 0x7FFF_FFFF_FFFF_FFFF)
    if made.device.type == "cpu":  # it would take 32 bits of its seed, and a long run would meet the same draws again
        state = made.get_state()
        words = np.random.Philox(key=whole).random_raw(TWISTER_WORDS // 2).view(np.uint32).astype(np.int64)
        end = TWISTER_START + 8 * TWISTER_WORDS
        state[TWISTER_START:end] = torch.from_numpy(words).view(torch.uint8)
        made.set_state(state)
    return made


def _words(n: int, size: int, start: int, address: tuple[int | str, ...]) -> Tensor:
    """Rows start..start+n of the address's table of 32-bit words, as int64 in [0, 2^32), [n, size]."""
    counts = -(-size // WORDS_PER_COUNT)
    bits = np.random.Philox(key=key(int(address[0]), *address[1:]), counter=start * counts)
    words = bits.random_raw(n * counts * 4).view(np.uint32).reshape(n, counts * WORDS_PER_COUNT)
    return torch.from_numpy(words[:, :size].astype(np.int64))


def uniform(
    shape: tuple[int, ...],
    *address: int | str,
    start: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniform draws in (0, 1) for samples ``start .. start + shape[0]`` of an address, [n, *event].

    >>> torch.equal(uniform((5, 2), 0, "u")[3:], uniform((2, 2), 0, "u", start=3))
    True
    """
    n, size = shape[0], math.prod(shape[1:])
    u = (_words(n, size, start, address).to(torch.float64) + 0.5) * 2.0**-32
    # float32 rounds the last values up to 1, and half precision the first ones down to 0: keep them inside
    u = u.to(dtype).clamp_(torch.finfo(dtype).tiny, 1.0 - torch.finfo(dtype).eps / 2)
    return u.reshape(shape).to(device)


def normal(
    shape: tuple[int, ...],
    *address: int | str,
    start: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal draws for samples ``start .. start + shape[0]`` of an address, [n, *event].

    Box-Muller on the words of `uniform`: r = sqrt(-2 log u), z = (r cos 2 pi v, r sin 2 pi v).

    >>> torch.equal(normal((5, 3), 0, "z")[4:], normal((1, 3), 0, "z", start=4))
    True
    """
    n, size = shape[0], math.prod(shape[1:])
    pairs = -(-size // 2)
    wide = dtype if torch.finfo(dtype).bits >= 32 else torch.float32  # half precision has no room for 2^32 values
    words = _words(n, 2 * pairs, start, address).to(wide).add_(0.5).mul_(2.0**-32)
    radius = words[:, :pairs].log().mul_(-2.0).sqrt_()
    angle = words[:, pairs:] * (2.0 * math.pi)
    z = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :size]
    return z.reshape(shape).to(device, dtype)


def streams(n: int, *address: int | str, start: int = 0) -> np.ndarray:
    """A 64-bit seed for each of n samples of an address, uint64 [n]: where a compiled loop's own generator starts.

    >>> (streams(5, 0, "s")[3:] == streams(2, 0, "s", start=3)).all()
    np.True_
    """
    bits = np.random.Philox(key=key(int(address[0]), *address[1:]), counter=start)
    return bits.random_raw(4 * n)[::4].copy()
