"""Networks: tensor in, tensor out. No noise, no loss, no data."""

from monge.nets.embedding import Condition, Fourier
from monge.nets.mlp import MLP
from monge.nets.sizes import network
from monge.nets.unet import UNet

__all__ = ["MLP", "Condition", "Fourier", "UNet", "network"]
