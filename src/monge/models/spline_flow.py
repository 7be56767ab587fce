"""Spline flows: rational-quadratic splines in place of affine maps (Durkan, Bekasov, Murray, Papamakarios 2019)."""

from monge.bijectors import AffineSpline, Autoregressive, Bijector, Coupling
from monge.errors import BadInput
from monge.models.flow import STEERING, Flow, in_turns, mixed
from monge.nets import Size, Spec

MOST_STEPS = 64  # coordinates up to which an autoregression draws fast enough: each is a step


class SplineFlow(Flow):
    """Each value is moved by an affine map, then by a spline, both steered by other values: the default for vectors.

    The affine part puts the spline's box where the values are, and keeps tails affine.

    layers: number of steered maps. bins: pieces of a spline. bound: half the width of its box.
    autoregressive: whether each coordinate is steered by all before it, and drawn after them; else half of them steer
        the others. None: for up to 64 coordinates. net: a `monge.nets.Size` of the networks. labels: condition on the
        labels, or vectors, that data have.

    Can `fit`, `sample`, `log_prob`, `encode`, `decode`, `save`. Raises BadInput for settings out of range.

    >>> import monge, torch
    >>> model = monge.SplineFlow(layers=1).fit(torch.randn(64, 2, generator=torch.manual_seed(0)), steps=5, show=False)
    >>> x = model.sample(3)
    >>> bool((model.decode(model.encode(x)) - x).abs().max() < 1e-4)
    True
    """

    def __init__(
        self,
        *,
        layers: int = 2,
        bins: int = 32,
        bound: float = 4.0,
        autoregressive: bool | None = None,
        net: Size | None = None,
        labels: bool = False,
    ) -> None:
        super().__init__(layers=layers, bins=bins, bound=bound, autoregressive=autoregressive, net=net, labels=labels)
        if layers < 1:
            raise BadInput(f"layers must be at least 1, not {layers}")
        AffineSpline(bins, bound)

    def transport(self, spec: Spec) -> Bijector:
        spec = spec.flat
        d, scalar = spec.event_shape[0], AffineSpline(self.settings["bins"], self.settings["bound"])
        layers, net, ordered = (self.settings[name] for name in ("layers", "net", "autoregressive"))
        if d <= MOST_STEPS if ordered is None else ordered:
            return in_turns(d, [Autoregressive(spec, scalar, net) for _ in range(layers)])
        return mixed(d, [Coupling(spec, scalar, net or STEERING, flip=i % 2 == 1) for i in range(layers)])
