"""RealNVP: affine couplings (Dinh, Sohl-Dickstein, Bengio 2017; course (80-82))."""

from monge.bijectors import Affine, Bijector, Coupling
from monge.errors import BadInput
from monge.models.flow import STEERING, Flow, mixed
from monge.nets import Size, Spec


class RealNVP(Flow):
    """Affine couplings, with activation normalisation and an invertible linear map before each.

    Sampling is as fast as the likelihood, both one pass.

    layers: number of couplings. net: a `monge.nets.Size` of their networks. labels: condition on the labels, or
        vectors, that data have.

    Can `fit`, `sample`, `log_prob`, `encode`, `decode`, `save`. Raises BadInput for events of one value, which have no
    half to steer the other.

    >>> import monge, torch
    >>> model = monge.RealNVP(layers=2).fit(torch.randn(64, 2, generator=torch.manual_seed(0)), steps=5, show=False)
    >>> model.sample(3).shape, model.log_prob(torch.zeros(1, 2)).method
    (torch.Size([3, 2]), 'change of variables')
    """

    def __init__(self, *, layers: int = 8, net: Size | None = None, labels: bool = False) -> None:
        super().__init__(layers=layers, net=net, labels=labels)
        if layers < 1:
            raise BadInput(f"layers must be at least 1, not {layers}")

    def transport(self, spec: Spec) -> Bijector:
        spec = spec.flat
        d, net = spec.event_shape[0], self.settings["net"] or STEERING
        return mixed(d, [Coupling(spec, Affine(), net, flip=i % 2 == 1) for i in range(self.settings["layers"])])
