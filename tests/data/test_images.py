"""Pictures as people have them: pages, gray as colours, parts of a data set, links, names of built-in data."""

import numpy as np
import pytest
from PIL import Image

from monge.data import load
from monge.errors import BadInput

DRAW = np.random.default_rng(0)
LEVELS = DRAW.integers(0, 255, (12, 9, 7), dtype=np.uint8)


def folder(path, levels=LEVELS, mode="L", ending=".png"):
    path.mkdir(parents=True, exist_ok=True)
    for i, each in enumerate(levels):
        Image.fromarray(each).convert(mode).save(path / f"{i:02}{ending}")
    return path


def test_pages_of_a_stack_are_samples(tmp_path):
    pages = [Image.fromarray(each) for each in LEVELS]
    pages[0].save(tmp_path / "s.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(load(tmp_path / "s.tif").x[:, 0], LEVELS)
    pages[0].save(tmp_path / "one.tif")
    with pytest.raises(BadInput, match="is one picture, and a law is learned from many"):
        load(tmp_path / "one.tif")
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=[Image.new("L", (3, 3))])
    with pytest.raises(BadInput, match="its first page is 9x7 gray and page 2 is 3x3 gray"):
        load(tmp_path / "two.tif")


def test_gray_pictures_stored_as_colours_have_one_channel(tmp_path):
    assert load(folder(tmp_path / "gray", mode="RGB")).event_shape == (1, 9, 7)
    Image.fromarray(DRAW.integers(0, 255, (9, 7, 3), dtype=np.uint8)).save(tmp_path / "gray" / "99.png")
    assert load(tmp_path / "gray").event_shape == (3, 9, 7)


def test_parts_of_a_data_set_are_no_labels(tmp_path):
    for part in ("train", "val"):
        folder(tmp_path / "set" / part)
    with pytest.raises(BadInput, match=r"has train/, val/, which are parts .*: give .*set/train"):
        load(tmp_path / "set")
    folder(tmp_path / "set" / "cats")
    assert load(tmp_path / "set").classes == ("cats", "train", "val")


def test_links_out_of_the_folder_empty_and_truncated_files_are_refused(tmp_path):
    inside = folder(tmp_path / "in", ending=".jpg")
    (inside / ".hidden.png").write_text("?")
    assert len(load(inside)) == 12
    Image.fromarray(LEVELS[0]).save(tmp_path / "out.png")
    (inside / "link.png").symlink_to(tmp_path / "out.png")
    with pytest.raises(BadInput, match=r"link.png is a link to .*out.png, out of"):
        load(inside)
    (inside / "link.png").unlink()
    (inside / "a.png").touch()
    with pytest.raises(BadInput, match=r"a.png is empty \(0 bytes\)"):
        load(inside)
    (inside / "a.png").unlink()
    whole = (inside / "03.jpg").read_bytes()
    (inside / "03.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"03.jpg is not a readable picture .*[Tt]runcated"):
        load(inside)


def test_a_folder_that_is_named_as_built_in_data_is_told(tmp_path, monkeypatch):
    folder(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r"digits is built in, and that is taken; .* give ./digits"):
        assert len(load("digits")) == 1797
    assert len(load("./digits")) == 12


def test_deep_pictures_are_drawn_as_deep_and_real_values_as_none(tmp_path):
    from monge.cli.drawing import write_samples

    deep = load(DRAW.integers(0, 65_535, (20, 1, 8, 8)).astype(np.uint16), kind="images")
    write_samples(tmp_path / "deep", deep.x.float(), deep.describe())
    assert np.array_equal(load(tmp_path / "deep").x, deep.x)
    unit = load(DRAW.random((20, 1, 8, 8)), kind="images")
    with pytest.raises(BadInput, match="samples of real values are not levels of pictures"):
        write_samples(tmp_path / "unit", unit.x, unit.describe())


def test_labels_within_one_part_of_a_data_set_are_labels(tmp_path):
    for name in "ab":
        folder(tmp_path / "set" / "train" / name)
    assert load(tmp_path / "set").classes == ("a", "b")


def test_four_channels_last_are_told():
    with pytest.warns(UserWarning, match=r"is read as 4 channels that stand last"):
        assert load(DRAW.integers(0, 255, (9, 8, 8, 4), dtype=np.uint8)).event_shape == (4, 8, 8)
