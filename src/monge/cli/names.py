"""From the name of a family to the family."""

import difflib
import re

from monge.errors import BadInput
from monge.models import FAMILIES, Family


def kebab(name: str) -> str:
    """The name of a class as the command line writes it.

    >>> kebab("FlowMatching"), kebab("RealNVP"), kebab("GAN")
    ('flow-matching', 'real-nvp', 'gan')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def family(name: str) -> type[Family]:
    """The family of that name; raises `BadInput` with the nearest names."""
    known = {kebab(member.__name__): member for member in FAMILIES}
    if name.lower() in known:
        return known[name.lower()]
    close = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.5)
    nearest = f"did you mean {' or '.join(close)}? " if close else ""
    raise BadInput(f"no model {name!r}: {nearest}there are {', '.join(known)}")
