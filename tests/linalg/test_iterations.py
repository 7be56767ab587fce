"""Conjugate gradients: solved, or said not to be."""

import pytest
import torch

from monge.linalg import conjugate_gradients


@pytest.mark.parametrize("c", [1e-30, 1.0, 1e30])
def test_equations_are_solved_in_any_unit(c):
    half = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    M, b = (
        half @ half.T + torch.eye(6),
        c * torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
    )
    for diagonal in (None, M.diagonal().expand(3, 6)):
        x, solved = conjugate_gradients(lambda v: v @ M, b, within=1e-12, most=50, diagonal=diagonal)
        assert solved
        torch.testing.assert_close(x / c, torch.linalg.solve(M, (b / c).T).T, rtol=1e-8, atol=1e-8)


def test_what_is_not_solved_is_said():
    b = torch.ones(1, 2)
    assert not conjugate_gradients(lambda v: 0 * v, b, within=1e-5, most=10)[1]
    assert not conjugate_gradients(lambda v: v * torch.tensor([1.0, 2.0]), b, within=1e-5, most=1)[1]
    assert conjugate_gradients(lambda v: v, torch.zeros(1, 2), within=1e-5, most=1)[1]
