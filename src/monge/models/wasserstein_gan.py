"""The Wasserstein GAN (course, sections 4.2 to 4.4): a critic that measures a distance which never is flat."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from monge.models.adversarial import Adversarial
from monge.models.family import Events
from monge.models.games import Game, Wasserstein


class WassersteinGAN(Adversarial):
    """min over G, max over 1-Lipschitz f of E f(x) - E f(G z) = W1(p, p_G) (course (62-63); Arjovsky et al. 2017).

    Where the supports of p and p_G are disjoint JS is log 2 and flat; W1 is the distance that mass has to go, and its
    slope points the way. f is held near slope 1 by a penalty (Gulrajani et al. 2017).

    The settings are those of `Adversarial`.

    Can `fit`, `sample`, `potential`, `save`, each with a `label` where it was trained with labels, vectors or images.

    >>> import monge, torch
    >>> model = monge.WassersteinGAN().fit(torch.randn(96, 2, generator=torch.manual_seed(0)), steps=5, show=False)
    >>> model.sample(3).shape, model.potential(torch.zeros(4, 2)).shape
    (torch.Size([3, 2]), torch.Size([4]))
    """

    def game(self) -> Game:
        return Wasserstein(self.units.unit)

    def potential(self, x: Events, *, label: Any = None) -> Float[Tensor, " n"]:
        """f(x), in data units, up to a constant: Kantorovich's potential from p_G to p, higher where mass is wanting.

        Data whose columns have scales of their own were standardised one by one: there it is in units of their s.d.
        Raises BadInput for events of another shape, NaN or infinity, an unknown label, or none where the model was
        trained with such.
        """
        return self.scores(x, label) * self.units.unit
