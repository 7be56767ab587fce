"""What the examples share: their two options, and where their pictures go."""

import argparse
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

Save = Callable[[str, Figure], None]


def asked(chapter: str, about: str | None) -> tuple[bool, Save]:
    """Whether the fast form is wanted, and save(name, figure), which writes chapter-name.png and says so."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="seconds, and rough")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures", help="folder of the pictures")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)

    def save(name: str, figure: Figure) -> None:
        path = given.out / f"{chapter}-{name}.png"
        figure.savefig(path, dpi=110)
        print(f"wrote {path}", flush=True)

    return given.fast, save
