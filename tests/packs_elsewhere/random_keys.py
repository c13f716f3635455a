"""Random keys and rows, looked up and made in C and JavaScript as in Python: no difference.

``python -m tests.packs_elsewhere.random_keys --keys 1000000 --mutants 1000000`` (``make
packs-elsewhere``) takes a million; the mutants are of the frozen packs, read by C under sanitizers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.manifest import Column, OutputSpec, Signature, TensorSpec
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.packs.reader import Pack
from tests.edge.builders import make_release
from tests.edge.packs.builders import value_release, write
from tests.edge.packs.freeze import FROZEN
from tests.packs_elsewhere.comparing import looked_up
from tests.packs_elsewhere.readers import PackReader, compiled

AT_ONCE: Final = 100_000
"""Keys of one question."""

COLUMNS: Final = 10
DENSE: Final = ("float32", "float64", "float16", "int64", "uint8")
SPECIAL: Final = (0.0, -0.0, np.nan, np.inf, -np.inf)


def key_differences(reader: PackReader, folder: Path, keys: int, seed: int) -> int:
    """Look ``keys`` keys up, in four groups: stored, one bit beside, the same checksum, random."""
    random = np.random.default_rng(seed)
    stored = random.integers(0, 256, (keys // 3, 16), np.uint8)
    release = value_release(make_release(folder), width=4)
    values = random.random((len(stored), 4), np.float32)
    write(folder / "pack", release, stored, y=values, encodings={"y": "uint8"})
    beside = stored.copy()
    at = random.integers(0, 128, len(stored))
    beside[np.arange(len(stored)), at // 8] ^= (1 << at % 8).astype(np.uint8)
    others = random.integers(0, 256, (keys - 2 * len(stored), 16), np.uint8)
    others[::2, :4] = stored[: len(others[::2]), :4]
    wanted = random.permutation(np.concatenate([stored, beside, others]))
    with Pack.open(folder / "pack") as pack:
        return sum(
            differences(reader.look_up(folder / "pack", part.tobytes()), part, pack)
            for part in np.array_split(wanted, -(-keys // AT_ONCE))
        )


def differences(theirs: bytes, keys: NDArray[np.uint8], pack: Pack) -> int:
    """The number of keys of which something else was said, or 0."""
    ours = looked_up(pack, [key.tobytes() for key in keys])
    if ours == theirs:
        return 0
    each = [looked_up(pack, [key.tobytes()]) for key in keys]
    found, at = 0, 0
    for expected in each:
        found += theirs[at : at + len(expected)] != expected
        at += len(expected)
    return max(found, 1)


def row_differences(reader: PackReader, rows: int, seed: int) -> int:
    """Make keys of ``rows`` rows, of each dtype in turn and with -0.0, NaN and infinities."""
    found = 0
    for dtype, part in random_rows(rows, seed):
        ours = dense(dtype)
        expected = [ours.feed_key({"x": row[None]}) for row in part]
        raw = part.astype(part.dtype.newbyteorder("<")).tobytes()
        given = reader.rows(ours.name, [dtype] * COLUMNS, raw)
        found += sum(a != b for a, b in zip(expected, given, strict=True))
    return found


def random_rows(rows: int, seed: int) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Rows [N, columns] of each dtype, of any bits."""
    random = np.random.default_rng(seed)
    for dtype in DENSE:
        for count in parts(rows // len(DENSE)):
            bits = random.bytes(count * COLUMNS * np.dtype(dtype).itemsize)
            array = np.frombuffer(bits, dtype).reshape(count, COLUMNS).copy()
            if array.dtype.kind == "f":
                # Random bits are seldom these; most rows must have a key.
                array[~np.isfinite(array)] = 1.0
                array[random.random(array.shape) < 0.05] = -0.0
                odd = random.random(count) < 0.1
                array[odd, 3] = random.choice(SPECIAL, odd.sum())
            yield dtype, array


def parts(count: int) -> list[int]:
    """``count`` in pieces of :data:`AT_ONCE` at most."""
    whole, rest = divmod(count, AT_ONCE)
    return [AT_ONCE] * whole + [rest] * (rest > 0)


def dense(dtype: str) -> Canonicaliser:
    """The canonicaliser of rows of one dtype."""
    columns = tuple(Column(f"c{i}", dtype, "x", i) for i in range(COLUMNS))  # type: ignore[arg-type]
    inputs = (TensorSpec("x", dtype, (None, COLUMNS)),)  # type: ignore[arg-type]
    return Canonicaliser(Signature(inputs, (OutputSpec("y", "float32", (None,)),), columns))


def main(argv: Sequence[str] | None = None) -> int:
    """Compare; 0 if there is no difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--mutants", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    worst = 0
    for language in ("c", "js"):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            reader = PackReader.of(language, place)
            of_keys = key_differences(reader, place, arguments.keys, arguments.seed)
            of_rows = row_differences(reader, arguments.keys, arguments.seed)
            reader.close()
        counts = f"{arguments.keys:,} keys: {of_keys} differences; as many rows: {of_rows}"
        print(f"{language}: {counts}", flush=True)
        worst = max(worst, of_keys, of_rows)
    if arguments.mutants:
        with tempfile.TemporaryDirectory() as folder:
            packs = map(str, sorted(FROZEN.glob("*.pack")))
            numbers = [str(arguments.mutants), str(arguments.seed + 1)]
            done = subprocess.run([compiled("fuzz", Path(folder)), *numbers, *packs], check=False)
        worst = max(worst, abs(done.returncode))
    return int(worst > 0)


if __name__ == "__main__":
    sys.exit(main())
