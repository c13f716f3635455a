"""CSV with a header, in UTF-8: types are found out from all of a column, never from its beginning.

An empty cell is a missing value, as are ``NaN`` and ``nan``; ``NA`` is none, for it is a country.
A column in which a number begins with a zero, such as a postcode 01067, is one of texts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, Final

from cloud_hub.data.library_errors import first_line
from cloud_hub.deferred.libraries import csv, pa, pc
from cloud_hub.errors import Invalid

MISSING: Final = ["", "NaN", "nan"]
BLOCK: Final = 4 << 20
"""Bytes that are parsed at once; no line may be longer."""

OTHER_SEPARATORS: Final = ";\t|"


def read_csv(file: BinaryIO, name: str, limit: int, *, texts: Collection[str] = ()) -> pa.Table:
    """Return a file as a table.

    Args:
        file: open at its beginning.
        name: for messages.
        limit: bytes that the table may take.
        texts: columns that are texts whatever is in them: 007 is no 7.

    Raises:
        Invalid: no CSV, or larger than ``limit``.
    """
    size, batches = 0, []
    for batch in stream_csv(file, name, texts=texts):
        size += batch.nbytes
        if size > limit:
            raise Invalid(f"{name}: expected at most {limit} bytes unpacked, got more")
        batches.append(batch)
    if not batches:
        raise Invalid(f"{name}: expected at least one row, got none")
    return pa.Table.from_batches(batches)


def stream_csv(
    file: BinaryIO, name: str, *, texts: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, which is read twice: for the types of its columns, then for good.

    Args:
        file: open at its beginning; must be able to go back there.
        name: for messages.
        texts: columns that are texts whatever is in them.

    Raises:
        Invalid: no CSV.
    """
    try:
        types = _types(file, name) | dict.fromkeys(texts, pa.string())
        file.seek(0)
        yield from _open(file, types)
    except (pa.ArrowException, OSError, ValueError, UnicodeError) as error:
        raise Invalid(
            f"{name}: expected Parquet, an .npz, or CSV with a header; {first_line(error)}"
        ) from error


def _types(file: BinaryIO, name: str) -> dict[str, pa.DataType]:
    """Return the first type of the ladder that takes all values of a column."""
    steps: dict[str, int] = {}
    ladder = _ladder()
    names = _header(file, name)
    texts = dict.fromkeys(names, pa.string())
    for batch in _open(file, texts):
        for column, values in zip(batch.schema.names, batch.columns, strict=True):
            step = steps.get(column, 0)
            while not _takes(ladder[step], values):
                step += 1
            steps[column] = step
    return {column: ladder[steps.get(column, 1)] for column in names}


def _ladder() -> tuple[pa.DataType, ...]:
    """Return the types that a column may have, in the order in which they are tried."""
    return (
        pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us"), pa.timestamp("us", "UTC"),
        pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.string(),
    )  # fmt: skip


def _header(file: BinaryIO, name: str) -> list[str]:
    with _open(file, {}) as reader:
        names: list[str] = reader.schema.names
    other = next((each for each in OTHER_SEPARATORS if each in names[0]), "")
    if len(names) == 1 and other:
        raise Invalid(
            f"{name}: expected commas between columns, the header has {other!r}: {names[0]!r:.80}"
        )
    file.seek(0)
    return names


def _takes(type_: pa.DataType, values: pa.Array) -> bool:
    try:
        if pa.types.is_boolean(type_):
            known = pc.is_in(pc.utf8_lower(values), pa.array(["true", "false", None]))
            return bool(pc.all(known).as_py() in (True, None))
        if type_ in (pa.int64(), pa.float64()) and _has_leading_zeros(values):
            return False
        values.cast(type_)
    except pa.ArrowException:
        return False
    return True


def _has_leading_zeros(values: pa.Array) -> bool:
    """Whether a text is digits that a number would not keep."""
    return bool(pc.any(pc.match_substring_regex(values, r"^\s*[-+]?0[0-9]")).as_py())


def _open(file: BinaryIO, types: dict[str, pa.DataType]) -> Any:
    # The reader must not close a file that is not its own.
    return csv.open_csv(
        pa.PythonFile(_Unclosed(file), mode="r"),
        read_options=csv.ReadOptions(block_size=BLOCK, use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=types,
            null_values=MISSING,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true", "True", "TRUE"],
            false_values=["false", "False", "FALSE"],
        ),
    )


class _Unclosed:
    """A file whose reader may close it without any effect."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave it open."""
