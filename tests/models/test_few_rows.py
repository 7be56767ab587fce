"""Of fewer rows than an event has values no covariance is known by which samples could be made right."""

import torch

from monge.data import Samples
from monge.models import Diffusion
from monge.nets import Size


def test_a_denoiser_of_few_rows_is_not_made_right_by_moments_that_are_not_known():
    x = torch.rand(8, 1, 6, 6, generator=torch.manual_seed(0)).gt(0.7).float()
    rows = Samples(x, kind="fields")
    model = Diffusion(net=Size((16,), blocks=1), augment=False).fit(rows, steps=250, batch_size=16, show=False)
    assert model.walker.plan.calibration is None
    many = Samples(torch.randn(40, 1, 6, 6, generator=torch.manual_seed(1)), kind="fields")
    model = Diffusion(net=Size((8,), blocks=1), augment=False).fit(many, steps=200, batch_size=8, show=False)
    assert model.walker.plan.calibration is not None
