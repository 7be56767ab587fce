"""The generative adversarial network of the course (section 2.7), and what its discriminator knows."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monge.errors import BadInput
from monge.models.adversarial import Adversarial
from monge.models.family import Events
from monge.models.games import Game, Minimax
from monge.nets import Size

FORMS = ("non-saturating", "minimax")


class GAN(Adversarial):
    """min over G, max over D of E log D(x) + E log(1 - D(G z)) (course (8), (47), Alg. 2; Goodfellow et al. 2014).

    For a G that is fixed, the best discriminator is D* = p / (p + p_G) (48), and the value then 2 JS(p, p_G) - 2 log 2
    (53).

    form: "minimax", as it is written, whose gradient vanishes where D wins; or "non-saturating", where G maximises
        E log D(G z) instead.
    The other settings are those of `Adversarial`. The default penalty, r1, keeps the game from going round;
    penalty=None is the game as first written, which collapses.

    Can `fit`, `sample`, `critic`, `save`, each with a `label` where it was trained with labels, vectors or images.

    >>> import monge
    >>> model = monge.GAN().fit(torch.randn(64, 2, generator=torch.manual_seed(0)), steps=5, show=False)
    >>> model.sample(3).shape, model.critic(torch.zeros(4, 2)).shape
    (torch.Size([3, 2]), torch.Size([4]))
    """

    def __init__(
        self,
        *,
        form: str = "non-saturating",
        net: Size | None = None,
        latent: int | None = None,
        signs: int = 10,
        critic_steps: int = 1,
        critic_lr: float | None = None,
        penalty: str | None = "r1",
        strength: float | None = None,
        spectral: bool = False,
        labels: bool | None = None,
        reconstruction: float = 0.5,
        periodic: bool = False,
    ) -> None:
        if form not in FORMS:
            raise BadInput(f"form must be {' or '.join(FORMS)}, not {form!r}")
        super().__init__(
            net=net,
            latent=latent,
            signs=signs,
            critic_steps=critic_steps,
            critic_lr=critic_lr,
            penalty=penalty,
            strength=strength,
            spectral=spectral,
            labels=labels,
            reconstruction=reconstruction,
            periodic=periodic,
        )
        self.settings = {"form": form, **self.settings}

    def game(self) -> Game:
        return Minimax(self.settings["form"] == "minimax")

    def critic(self, x: Events, *, label: Any = None) -> Float[Tensor, " n"]:
        """D(x), which tends to p(x) / (p(x) + p_G(x)) (48), in [0, 1]: the ratio p / p_G is D / (1 - D).

        Quantised data are spread over their grid step first. Raises BadInput for events of another shape, NaN or
        infinity, an unknown label, or none where the model was trained with such.
        """
        return torch.sigmoid(self.scores(x, label))
