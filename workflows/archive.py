"""A run folder as one archive."""

from __future__ import annotations

import os
import zipfile
from typing import IO

from labwright.store import RunStore

STORED = (".png", ".jpg", ".jpeg", ".parquet", ".gz", ".zip")
"""Not worth packing a second time."""


def write_archive(store: RunStore, out: IO[bytes]) -> int:
    """Write every regular file of the run folder into a ZIP archive; links and hidden files are left out.

    Args:
        store: the run; it may be going on, a file that vanishes meanwhile is left out.
        out: a seekable stream.

    Returns:
        Size of the archive, bytes.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, names, files in os.walk(store.folder):
            names[:] = sorted(name for name in names if not name.startswith("."))
            for name in sorted(files):
                path = os.path.join(folder, name)
                if name.startswith(".") or os.path.islink(path) or not os.path.isfile(path):
                    continue
                kind = zipfile.ZIP_STORED if name.endswith(STORED) else zipfile.ZIP_DEFLATED
                inside = f"{store.id}/{os.path.relpath(path, store.folder)}"
                try:
                    archive.write(path, inside, compress_type=kind)
                except FileNotFoundError:
                    continue
    return out.tell()
