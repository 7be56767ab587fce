"""Sounds, skies, shards of pictures, and Arrow's files."""

import io
import sys
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import feather
from scipy.io import wavfile

from monge.data import load
from monge.errors import BadInput

DRAW = np.random.default_rng(0)


def test_sounds_are_fields_and_their_folders_labels(tmp_path):
    values = DRAW.integers(-3000, 3000, (6, 400), dtype=np.int16)
    for i, each in enumerate(values):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        wavfile.write(tmp_path / "ab"[i % 2] / f"{i}.wav", 8000, each)
    found = load(tmp_path)
    assert (found.kind, found.event_shape, found.classes, found.quantum) == ("fields", (1, 400), ("a", "b"), 1.0)
    assert np.array_equal(found.x[:, 0], values[[0, 2, 4, 1, 3, 5]])
    wavfile.write(tmp_path / "a" / "9.wav", 8000, values[0, :100])
    with pytest.raises(BadInput, match=r"sounds differ: .*0.wav has 400 values x 1 at 8000 Hz, int16, and .*9.wav 100"):
        load(tmp_path)
    (tmp_path / "a" / "9.wav").write_bytes(b"RIFF0000")
    with pytest.raises(BadInput, match=r"9.wav is not a readable sound"):
        load(tmp_path)


def tar(path, **members):
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def png(levels):
    content = io.BytesIO()
    Image.fromarray(levels).save(content, format="png")
    return content.getvalue()


def test_a_shard_holds_pictures_and_labels(tmp_path):
    x = DRAW.integers(0, 255, (3, 5, 4), dtype=np.uint8)
    members = {f"{i}_png": png(each) for i, each in enumerate(x)}
    assert np.array_equal(load(tar(tmp_path / "a.tar", **members)).x[:, 0], x)
    labels = {f"{i}_cls": str(7 - i).encode() for i in range(3)}
    assert load(tar(tmp_path / "b.tar", **members, **labels)).y.tolist() == [7, 6, 5]
    del labels["1_cls"]
    with pytest.raises(BadInput, match=r"1 has no .cls, and others have"):
        load(tar(tmp_path / "c.tar", **members, **labels))
    with pytest.raises(BadInput, match=r"0.png is not a readable picture"):
        load(tar(tmp_path / "d.tar", **members | {"0_png": b"?"}))
    with tarfile.open(tmp_path / "e.tar", "w") as file:
        info = tarfile.TarInfo("x.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(BadInput, match=r"x.png is a link"):
        load(tmp_path / "e.tar")


def test_arrow_files_and_streams_are_tables(tmp_path):
    table = pa.table({"a": DRAW.normal(size=30), "b": ["x", "y", "z"] * 10})
    feather.write_feather(table, tmp_path / "t.feather")
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    for name in ("t.feather", "t.arrow"):
        assert load(tmp_path / name).columns == ("a", "b=x", "b=y", "b=z")


def test_a_sky_needs_astropy_and_says_so(tmp_path, monkeypatch):
    (tmp_path / "x.fits").write_bytes(b"SIMPLE")
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(BadInput, match=r"needs astropy to be read: pip install 'monge\[astro\]'"):
        load(tmp_path / "x.fits")


def test_a_sky_is_read(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    x = DRAW.normal(size=(20, 6, 6)).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(x)]).writeto(tmp_path / "x.fits")
    assert np.array_equal(load(tmp_path / "x.fits").x[:, 0], x)
