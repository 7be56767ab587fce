"""Every example runs in its fast form, and leaves its pictures where it is told to."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


PICTURES = {
    "audit": {"defects"},
    "chains": {"stuck", "replicas", "transition", "particles", "brownian"},
    "transport": {"map", "plans", "digits", "segments"},
    "adversaries": {"discriminator", "segments", "collapse", "pairs"},
    "ladder": {"photograph", "basis", "prior"},
    "diffusion": {"clock", "reversed"},
    "continuous": {"density", "picard", "blocks", "trajectories", "digits"},
    "posterior": {"mixture", "digit", "guidance", "photograph", "sharpened"},
    "generalisation": {"twins", "curves", "clock", "bases", "ladder"},
    "flows": {"laws", "grid", "latents", "ways", "attribute"},
}


@pytest.mark.parametrize(("name", "pictures"), PICTURES.items(), ids=PICTURES)
def test_example(name, pictures, run_script, tmp_path):
    run_script(EXAMPLES / f"{name}.py", "--fast", "--out", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}-{picture}.png" for picture in pictures}
    assert {path.name for path in (EXAMPLES / "pictures").glob(f"{name}-*")} == {p.name for p in tmp_path.iterdir()}
