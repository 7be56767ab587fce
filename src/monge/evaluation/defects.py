"""Reference defects by name: what each is a share of, and what is said of it."""

from dataclasses import dataclass
from typing import NamedTuple

from monge.errors import BadInput


@dataclass(frozen=True)
class Margins:
    """The smallest defects that must not pass, each a share.

    mass: of the real samples missing from one region, or of one label. repeats: of generated samples that repeat
    another. copies: of generated samples that are training samples. variance: lost along the leading directions. blur:
    of the small-scale power lost. outliers: of generated samples that are white noise. waves: of generated fields whose
    long waves are Gaussian, where those of real ones are not. association: of generated vectors whose columns are drawn
    one by one, each from the real ones.

    Raises BadInput for a share that is not between 0 and 1.

    >>> Margins(mass=0.03).mass
    0.03
    """

    mass: float = 0.05
    repeats: float = 0.05
    copies: float = 0.02
    variance: float = 0.05
    blur: float = 0.10
    outliers: float = 0.01
    waves: float = 0.50
    association: float = 0.20

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 < share < 1:
                raise BadInput(f"margin {name}={share:g}: give a share between 0 and 1, such as 0.05")


class Concern(NamedTuple):
    """What a difference says. margin: its size. excluded: {} the size in percent, then the kinds that were planted.
    found: what is said when it is there."""

    margin: str
    excluded: str
    found: str


class Defect(NamedTuple):
    """A reference defect of a concern. kind: how it is called among those of its concern."""

    name: str
    concern: str
    kind: str


CONCERNS = {
    "region": Concern("mass", "{} of the mass missing from a {}", "a region is missing or has the wrong weight"),
    "label": Concern("mass", "{} of the mass missing from {}", "a label is missing or has the wrong weight"),
    "repeats": Concern("repeats", "{} repeated {}", "samples are repeated"),
    "copies": Concern("copies", "{} copies of {}", "training samples are copied"),
    "variance": Concern(
        "variance", "{} of the variance lost along {}", "the variance along leading directions is wrong"
    ),
    "blur": Concern("blur", "{} of the {} power lost", "the power at some scales is wrong"),
    "outliers": Concern("outliers", "{} {}", "there are outliers"),
    "waves": Concern("waves", "{} of samples with {}", "averages over fields are wrong"),
    "association": Concern(
        "association", "{} of samples with {}", "columns go together otherwise than in real samples"
    ),
    "confidence": Concern("overconfidence", "{} over-confidence of {}", "draws are not of the posterior"),
    "ignorance": Concern("ignorance", "{} of {}", "draws do not go with what was seen"),
    "labels": Concern("mass", "{} of samples with {}", "labels are not those that are recognised"),
}
DEFECTS = (
    Defect("cluster", "region", "cluster"),
    Defect("neighbourhood", "region", "neighbourhood of a sample"),
    Defect("half-space", "region", "half-space across a leading direction"),
    Defect("any half-space", "region", "half-space across any direction"),
    Defect("slab", "region", "slab across a leading direction"),
    Defect("any slab", "region", "slab across any direction"),
    Defect("column slab", "region", "slab across a column"),
    Defect("shell", "region", "shell about the mean"),
    Defect("ball", "region", "ball in any three directions"),
    Defect("label", "label", "a label, as recognised"),
    Defect("repeats", "repeats", "samples"),
    Defect("copies", "copies", "training samples"),
    Defect("variance", "variance", "leading directions"),
    Defect("raw variance", "variance", "leading directions in the data's own units"),
    Defect("blur", "blur", "small-scale"),
    Defect("outliers", "outliers", "outliers"),
    Defect("waves", "waves", "Gaussian long waves"),
    Defect("apart", "association", "columns drawn one by one"),
    Defect("over-confident", "confidence", "draws given an observation"),
    Defect("ignorant", "ignorance", "draws that ignore what was seen"),
    Defect("mislabelled", "labels", "the label of another"),
)
CONCERN = {defect.name: defect.concern for defect in DEFECTS}
OTHER = {
    "structure": "the structure of samples is wrong",
    "support": "values lie where real ones do not, or miss where they do",
    "denoiser": "the denoiser is not the one that it should be",
    "nearness": "samples lie nearer to training samples than new ones do",
}
