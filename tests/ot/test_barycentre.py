"""Barycentres of images: those of Gaussians are known, and of one image it is the image."""

import math

import pytest
import torch

from monge import ot
from monge.errors import BadInput, NumericalFailure

LINE = torch.arange(61, dtype=torch.float64) - 30


def gaussian(mean, deviation):
    p = torch.exp(-((LINE - mean) ** 2) / (2 * deviation**2))
    return p / p.sum()


@pytest.mark.parametrize("weight", [0.5, 0.8])
def test_of_gaussians_is_the_gaussian_of_mean_mean_and_mean_deviation(weight):
    weights = torch.tensor([weight, 1 - weight], dtype=torch.float64)
    q = ot.barycentre(torch.stack([gaussian(-10, 2), gaussian(10, 6)]), weights, tolerance=1e-6)
    mean = weights @ torch.tensor([-10.0, 10.0]).double()
    deviation = weights @ torch.tensor([2.0, 6.0]).double()
    assert torch.allclose(q, gaussian(float(mean), float(deviation)), atol=2e-3)


def test_of_one_image_is_that_image():
    one, other, third = gaussian(1, 2)[25:36], gaussian(0, 3)[26:35], gaussian(-2, 2)[24:34]
    image = one[:, None, None] * other[:, None] * third
    q = ot.barycentre(image[None], tolerance=1e-5)
    assert q.shape == image.shape
    assert (q - image / image.sum()).abs().sum() < 1e-3


def test_separates_in_two_dimensions():
    """Of products of laws it is the product of the barycentres."""
    rows, columns = torch.stack([gaussian(-8, 2), gaussian(4, 3)]), torch.stack([gaussian(0, 3), gaussian(6, 2)])
    q = ot.barycentre(rows[:, ::2, None] * columns[:, None, ::2], epsilon=8.0, tolerance=1e-6)
    first, second = (ot.barycentre(each[:, ::2], epsilon=8.0, tolerance=1e-6) for each in (rows, columns))
    assert torch.allclose(q, first[:, None] * second, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "weights", "words"),
    [
        (torch.ones(3), None, r"images must be \[k, \*space\]"),
        (-torch.ones(1, 3), None, "finite and zero or more"),
        (torch.zeros(2, 3), None, "image 0 is empty"),
        (torch.ones(2, 3), torch.tensor([0.5, 0.6]), "2 numbers of zero or more that sum to one"),
    ],
)
def test_bad_input_is_told_in_one_line(images, weights, words):
    with pytest.raises(BadInput, match=words):
        ot.barycentre(images, weights)


def test_no_convergence_is_told_not_made_up():
    with pytest.raises(NumericalFailure, match=r"after 3 iterations a step still moves"):
        ot.barycentre(torch.stack([gaussian(-10, 2), gaussian(10, 6)]), iterations=3)
    assert math.isclose(float(ot.barycentre(gaussian(0, 3)[None]).sum()), 1.0)
