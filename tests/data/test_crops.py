"""Crops of photographs of any sizes: what a row is, and what is kept together."""

import numpy as np
import pytest
import torch
from PIL import Image

from monge import data
from monge.data import Crops
from monge.errors import BadInput


@pytest.fixture(scope="module")
def pictures():
    """Pictures whose pixels tell where they are: number, row and column, of [3, H, W]."""
    made = []
    for k, (high, wide) in enumerate(((60, 90), (70, 50), (50, 50))):
        grid = np.meshgrid(np.arange(high), np.arange(wide), indexing="ij")
        made.append(np.stack([np.full((high, wide), k), *grid]).astype(np.uint8))
    return made


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory):
    home = tmp_path_factory.mktemp("photographs")
    for k, picture in enumerate(pictures):
        Image.fromarray(np.moveaxis(picture, 0, -1)).save(home / f"{k}.png")
    return home


def test_a_row_is_a_square_of_its_picture_flipped_or_not(pictures):
    crops = Crops(pictures, 16)
    x = crops[torch.arange(len(crops))].long()
    assert (x[:, 0] == crops.owner[:, None, None]).all()
    assert (x[:, 1].diff(dim=1) == 1).all()
    assert (x[:, 1].diff(dim=2) == 0).all()
    across = x[:, 2].diff(dim=2)
    turned = across[:, 0, 0] < 0
    assert (across.abs() == 1).all()
    assert 0.45 < turned.double().mean() < 0.55
    share = torch.bincount(crops.owner) * 16**2 / torch.tensor([picture[0].size for picture in pictures])
    assert torch.allclose(share, torch.full((3,), 32.0), rtol=0.01)
    assert torch.equal(crops[[7, 3]], crops[3:8][[4, 0]])


def test_places_are_even_and_reach_every_border(pictures):
    """A count over a quarter of the places deviates from uniform by far less than independent places would."""
    crops = Crops(pictures, 16)
    first = crops[torch.nonzero(crops.owner == 0)[:, 0]].long()
    top, left = first[:, 1].amin((1, 2)), first[:, 2].amin((1, 2))
    assert (int(top.min()), int(top.max()), int(left.min()), int(left.max())) == (0, 44, 0, 74)
    n = len(top)
    inside = int(((top < 22.5) & (left < 37.5)).sum())
    expected = n * (23 / 45) * (38 / 75)
    assert abs(inside - expected) < 0.25 * expected**0.5


def test_a_folder_of_several_sizes_is_cropped_and_pictures_are_never_split(folder, pictures):
    samples = data.load(str(folder))
    assert samples.event_shape == (3, 48, 48)
    assert (samples.kind, samples.quantum, samples.limits) == ("images", 1.0, (0.0, 255.0))
    train, held = samples.split(0.3, seed=1)
    assert set(train.x[:, 0, 0, 0].tolist()).isdisjoint(held.x[:, 0, 0, 0].tolist())
    assert torch.equal(train.batch([2, 5]), train.x[[2, 5]].float())
    assert torch.equal(torch.from_numpy(held.view[3:5]), held.x[3:5])
    small = data.load(str(folder), crop=20)
    assert small.reading == {"crop": 20}
    assert data.load(small.source, **small.reading).fingerprint == small.fingerprint != samples.fingerprint
    listed = data.load([np.moveaxis(picture, 0, -1) for picture in pictures], crop=20)
    assert torch.equal(listed.batch([9]), small.batch([9]))
    rows = [np.moveaxis(picture[:, :50, :50], 0, -1) for picture in pictures]
    assert data.load(np.stack(rows), crop=20).event_shape == (3, 20, 20)


def test_what_cannot_be_cropped_is_refused(folder, pictures, tmp_path):
    with pytest.raises(BadInput, match="crops of 51 pixels do not fit: the smallest picture has 50"):
        data.load(str(folder), crop=51)
    with pytest.raises(BadInput, match="crops of 0 pixels do not fit"):
        data.load(str(folder), crop=0)
    with pytest.raises(BadInput, match="no pictures to crop"):
        data.load([], crop=8)
    with pytest.raises(BadInput, match="pictures of 1 and 3 channels: bring all to one colour"):
        data.load([pictures[0], pictures[0][0]], crop=8)
    with pytest.raises(BadInput, match="has 6000 NaN or infinite values"):
        data.load([np.full((60, 100), np.nan)], crop=8)
    with pytest.raises(BadInput, match="are vectors: leave crop out"):
        data.load(np.eye(4), crop=2)
    Image.fromarray(pictures[1][0]).save(tmp_path / "a.png")
    Image.fromarray(pictures[2][0, :20]).save(tmp_path / "b.png")
    with pytest.raises(BadInput, match="bring all to one size and colour, or give crop="):
        data.load(str(tmp_path))
    assert data.load(str(tmp_path), crop=20).event_shape == (1, 20, 20)
