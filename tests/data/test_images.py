"""Pictures as people have them: pages, gray as colours, parts of a data set, links, names of built-in data."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from monge.data import albums, load, read_image, stored
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


def test_folders_larger_than_memory_stay_on_disk_and_are_the_same(tmp_path, monkeypatch):
    inside = folder(tmp_path / "many", DRAW.integers(0, 255, (90, 9, 7), dtype=np.uint8), mode="RGB")
    whole = load(inside)
    monkeypatch.setattr(albums, "IN_MEMORY", 1000)
    monkeypatch.setattr(stored, "BLOCK_BYTES", 1000)
    left = load(inside)
    assert left.block is not None
    assert left.event_shape == (1, 9, 7)  # gray, stored as colours
    assert torch.equal(left.x, whole.x)
    assert (left.quantum, left.limits) == (whole.quantum, whole.limits)
    assert torch.equal(left.batch([3, 80, 5]), whole.batch([3, 80, 5]))
    train, held = left.split(0.2)
    assert torch.equal(torch.cat([train.x, held.x]).sort(0).values, whole.x.sort(0).values)
    Image.fromarray(DRAW.integers(0, 255, (9, 7, 3), dtype=np.uint8)).save(inside / "900.png")
    with pytest.raises(BadInput, match=r"900.png has colours, and 100 others"):
        albums.Album([*sorted(inside.iterdir())[:90], inside / "900.png", *[inside / "00.png"] * 300])[88:92]
    Image.fromarray(LEVELS[0, :5]).convert("RGB").save(inside / "901.png")
    with pytest.raises(BadInput, match=r"pictures differ: .* and 901.png is 5x7"):
        load(inside)


@pytest.mark.filterwarnings("ignore:.* in sRGB")
def test_other_colours_and_profiles_are_read_as_srgb(tmp_path):
    levels = DRAW.integers(0, 255, (9, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(levels)
    picture.convert("CMYK").save(tmp_path / "a.tif")
    assert np.abs(np.moveaxis(read_image(tmp_path / "a.tif"), 0, -1).astype(int) - levels).max() <= 1
    lab = ImageCms.profileToProfile(
        picture, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(tmp_path / "lab.tif")
    back = np.moveaxis(read_image(tmp_path / "lab.tif"), 0, -1).astype(int)
    assert np.median(np.abs(back - levels)) <= 2
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.save(tmp_path / "s.png", icc_profile=plain)
    assert np.array_equal(np.moveaxis(read_image(tmp_path / "s.png"), 0, -1), levels)
    picture.save(tmp_path / "torn.png", icc_profile=b"no profile")
    with pytest.raises(BadInput, match="colour profile that cannot be used"):
        read_image(tmp_path / "torn.png")


def test_colours_of_sixteen_bits_are_refused_and_not_cut_to_eight(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in DRAW.integers(0, 65535, (4, 5, 3)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(content)
    with pytest.raises(BadInput, match="colours of 16 bits, which are read as 8"):
        read_image(tmp_path / "deep.png")
    deep = DRAW.integers(0, 65535, (4, 5)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "gray.png")
    assert np.array_equal(read_image(tmp_path / "gray.png")[0], deep)


def test_deep_colours_of_any_format_are_refused(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 65535\n" + bytes(range(12)))
    with pytest.raises(BadInput, match="colours of 16 bits"):
        read_image(tmp_path / "a.ppm")
    (tmp_path / "b.ppm").write_bytes(b"P6 2 1 255\n" + bytes(range(6)))
    assert read_image(tmp_path / "b.ppm").shape == (3, 1, 2)
    Image.fromarray(LEVELS[0]).convert("LA").convert("PA").save(tmp_path / "pa.tif")
    assert read_image(tmp_path / "pa.tif").shape[0] in (1, 3)


def test_deep_gray_folders_and_broken_files_where_they_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(albums, "IN_MEMORY", 100)
    (tmp_path / "deep").mkdir()
    deep = DRAW.integers(0, 65535, (120, 4, 5)).astype(np.uint16)
    for i, each in enumerate(deep):
        Image.fromarray(each).save(tmp_path / "deep" / f"{i:03}.png")
    found = load(tmp_path / "deep")
    assert found.block is not None
    assert np.array_equal(found.batch([5, 119, 7])[:, 0], deep[[5, 119, 7]])
    (tmp_path / "deep" / "500.png").write_bytes(b"?")
    with pytest.raises(BadInput, match=r"500.png is not a readable picture"):
        load(tmp_path / "deep")
