"""Clouds and weights of a seed, for the tests of this folder."""

import torch

F = torch.float64


def cloud(n, d, seed, *, move=0.0):
    return torch.randn(n, d, dtype=F, generator=torch.Generator().manual_seed(seed)) + move


def law(n, seed):
    a = torch.rand(n, dtype=F, generator=torch.Generator().manual_seed(seed))
    return a / a.sum()
