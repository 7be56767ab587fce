"""Writing that never leaves half a file, and never writes over somebody's work unasked."""

import errno
import os
import tempfile
from pathlib import Path

from monge.errors import BadInput, MongeError

DERIVED = "samples.npz", "verdict.json", "report.html"  # made from a finished run, in its folder


class DiskFull(MongeError, OSError):
    """No space left while writing; what stood at the path before is untouched."""


def write_atomic(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write `content` beside `path`, flush it to the disk, then rename it into place.

    A reader sees the old file or the new one, never a part. Raises `DiskFull` when the disk is full; the old
    file then still stands.

    >>> import tempfile; folder = tempfile.mkdtemp()
    >>> write_atomic(f"{folder}/a.txt", "hello").read_text()
    'hello'
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(
                f"no space left to write {path} ({len(data)} bytes): "
                "the file that stood there is kept; free space and resume"
            ) from error
        raise
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def refuse_overwrite(path: str | os.PathLike[str], *, force: bool) -> None:
    """Raise `BadInput` if `path` exists and `force` is not set."""
    if Path(path).exists() and not force:
        raise BadInput(f"{path} exists already: give another path, or --force (force=True) to replace it")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def ending_of(path: Path) -> str:
    """.csv of a.csv and a.csv.gz alike."""
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()
