"""Networks: tensor in, tensor out. No noise, no loss, no data."""

from monge import objects
from monge.nets.adapted import Adapted
from monge.nets.bias_free import BiasFreeUNet
from monge.nets.embedding import Condition, Fourier
from monge.nets.masked import MaskedMLP, ResidualMLP
from monge.nets.mlp import MLP
from monge.nets.pyramids import Down, Up
from monge.nets.roles import bias_free, conditioner, critic, denoiser, field, generator
from monge.nets.smooth import SmoothMLP
from monge.nets.spec import Size, Spec
from monge.nets.unet import UNet

__all__ = [
    "MLP",
    "Adapted",
    "BiasFreeUNet",
    "Condition",
    "Down",
    "Fourier",
    "MaskedMLP",
    "ResidualMLP",
    "Size",
    "SmoothMLP",
    "Spec",
    "UNet",
    "Up",
    "bias_free",
    "conditioner",
    "critic",
    "denoiser",
    "field",
    "generator",
]

objects.register(__name__, __all__)
