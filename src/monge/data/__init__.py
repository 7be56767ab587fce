"""Data: `load` them from anywhere into `Samples`, split them, scale them; built-in sets and simulators."""

from monge.data.builtin import BUILTINS, digits, patches
from monge.data.columns import Columns
from monge.data.crops import Crops
from monge.data.dialects import Dialect
from monge.data.fields import c_alpha, gaussian_field, power_law_spectrum
from monge.data.images import Layers, is_gray, read_image, read_layers
from monge.data.labels import Labels
from monge.data.planar import banana, checkerboard, moons, pinwheel, rings
from monge.data.samples import Samples
from monge.data.scaling import Scaling
from monge.data.sources import load
from monge.data.stored import RowView

__all__ = [
    "BUILTINS",
    "Columns",
    "Crops",
    "Dialect",
    "Labels",
    "Layers",
    "RowView",
    "Samples",
    "Scaling",
    "banana",
    "c_alpha",
    "checkerboard",
    "digits",
    "gaussian_field",
    "is_gray",
    "load",
    "moons",
    "patches",
    "pinwheel",
    "power_law_spectrum",
    "read_image",
    "read_layers",
    "rings",
]
