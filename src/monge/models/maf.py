"""MAF: masked affine autoregression (Papamakarios, Pavlakou, Murray 2017)."""

from monge.bijectors import Affine, Autoregressive, Bijector
from monge.errors import BadInput
from monge.models.flow import Flow, in_turns
from monge.nets import Size, Spec


class MAF(Flow):
    """Affine autoregressions, the order of the coordinates reversed between them.

    The likelihood is one pass, a sample one pass for each coordinate.

    layers: number of autoregressions. net: a `monge.nets.Size` of their masked networks. labels: condition on the
        labels, or vectors, that data have.

    Can `fit`, `sample`, `log_prob`, `encode`, `decode`, `save`.

    >>> import monge, torch
    >>> model = monge.MAF(layers=2).fit(torch.randn(64, 1, generator=torch.manual_seed(0)), steps=5, show=False)
    >>> model.sample(3).shape
    torch.Size([3, 1])
    """

    def __init__(self, *, layers: int = 5, net: Size | None = None, labels: bool = False) -> None:
        super().__init__(layers=layers, net=net, labels=labels)
        if layers < 1:
            raise BadInput(f"layers must be at least 1, not {layers}")

    def transport(self, spec: Spec) -> Bijector:
        spec = spec.flat
        d, scalar = spec.event_shape[0], Affine()
        return in_turns(d, [Autoregressive(spec, scalar, self.settings["net"]) for _ in range(self.settings["layers"])])
