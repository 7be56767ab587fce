"""PSNR and SSIM against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from monge import rng
from monge.errors import BadInput
from monge.evaluation import psnr, ssim


@pytest.mark.parametrize("shape", [(1, 24, 30), (3, 16, 16)])
def test_they_are_those_of_scikit_image(shape):
    x = 255 * rng.uniform((2, *shape), 0, "x", dtype=torch.float64)
    y = x + 20 * rng.normal((2, *shape), 0, "y", dtype=torch.float64)
    for k in range(2):
        a, b = (part[k].numpy() for part in (y, x))
        assert float(psnr(y, x, 255.0)[k]) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255))
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        theirs = structural_similarity(b, a, channel_axis=0, **options)
        assert float(ssim(y, x, 255.0)[k]) == pytest.approx(theirs, abs=1e-3)


def test_they_refuse_what_does_not_fit():
    assert float(psnr(torch.ones(1, 4), torch.ones(1, 4), 1.0)) == np.inf
    with pytest.raises(BadInput, match="the shape of what it is compared with"):
        psnr(torch.ones(1, 4), torch.ones(1, 5), 1.0)
    with pytest.raises(BadInput, match="sides of 11 or more"):
        ssim(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8), 1.0)
