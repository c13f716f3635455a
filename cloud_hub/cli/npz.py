"""Files of arrays (``.npz``): a missing one is refused before a file is read or sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from cloud_hub.errors import Invalid


def check_arrays(raw: bytes, needed: Sequence[str], name: str) -> None:
    """Refuse an archive that lacks an array, with the names of those that are in it.

    Bytes that are no archive at all pass: whoever reads them says so.

    Args:
        raw: content of the file.
        needed: names of arrays.
        name: of the file, for messages.

    Raises:
        Invalid: an array is missing.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            arrays = [entry.removesuffix(".npy") for entry in archive.namelist()]
    except zipfile.BadZipFile:
        return
    missing = [array for array in needed if array not in arrays]
    if missing:
        wanted = f"{', '.join(needed[:-1])} and {needed[-1]}" if needed[1:] else needed[0]
        absent, present = ", ".join(missing), ", ".join(arrays) or "nothing"
        raise Invalid(f"{name}: expected an .npz with {wanted}; it has no {absent}, only {present}")
