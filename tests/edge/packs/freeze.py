"""Write the frozen packs that are missing: ``python -m tests.edge.packs.freeze``.

Each is a small file of the current format with what every reader, in any language, must read out of
it. An existing one is never rewritten: a reader that changes would change what is expected of it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_sdk.contract.key import ENTITY, ENTITY_ANSWERS
from edge_sdk.contract.manifest import Column, OutputSpec, Signature, TensorSpec
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.entity_features import write_entity_features
from edge_sdk.packs.entity_predictions import EntityPredictions, EntityValues, joined_items
from edge_sdk.packs.reader import Pack
from tests.edge.builders import make_release
from tests.edge.packs.builders import random_keys, value_release, with_outputs, write
from tests.edge.packs.entity_answers import written
from tests.edge.packs.reading import features, look_up, predictions

FROZEN: Final = Path(__file__).parent / "frozen"
NAMES: Final = ("user-1", "user-2", "Łódź", "東京-7", "a" * 200)
STRANGERS: Final = ("user-3", "User-1", "user-1 ")
NOW: Final = 1_000_060.0
"""Unix seconds at which entities are looked up: a minute after they were computed."""

EXPIRES: Final = 2_000_000
NUMBERS: Final[Mapping[str, list[Any]]] = {
    "float16": [0.1, -65504.0, 6e-8, 1.0],
    "float32": [0.1, -3.4028235e38, 1e-45, 1.0],
    "float64": [0.1, float("nan"), -float("inf"), -0.0],
    "int8": [-128, 127, 0, -1],
    "uint8": [0, 255, 1, 2],
    "int16": [-(2**15), 2**15 - 1, 0, -1],
    "int32": [-(2**31), 2**31 - 1, 0, -1],
    "int64": [-(2**63), 2**63 - 1, 2**53 + 1, -1],
    "bool": [True, False, True, True],
}
"""Four values of each dtype, at its limits."""


def dtypes(path: Path, release: Release) -> None:
    """A field of every dtype, alone and as a row of two."""
    specs, given = [], {}
    for dtype, values in NUMBERS.items():
        array = np.array(values, dtype)
        specs += [
            OutputSpec(dtype, dtype, (None,)),  # type: ignore[arg-type]
            OutputSpec(f"{dtype}-2", dtype, (None, 2)),  # type: ignore[arg-type]
        ]
        given |= {dtype: array, f"{dtype}-2": np.stack([array, array[::-1]], axis=1)}
    write(path, with_outputs(release, *specs), random_keys(4), **given)


def encodings(path: Path, release: Release) -> None:
    """Floats in shorter encodings, and an index of a class; enough entries for several buckets."""
    random, count = np.random.default_rng(3), 60
    specs = [OutputSpec(f"{d}-as-half", d, (None, 2)) for d in ("float32", "float64")]  # type: ignore[arg-type]
    specs += [OutputSpec(f"{d}-as-code", d, (None, 2)) for d in ("float16", "float32", "float64")]  # type: ignore[arg-type]
    given = {s.name: random.normal(size=(count, 2)).astype(s.dtype) * 100 for s in specs}
    coded = {s.name: "uint8" if s.name.endswith("code") else "float16" for s in specs}
    labels = random.integers(0, 3, count)
    given["label"] = labels.astype(np.uint8)
    specs.append(OutputSpec("label", "string", (None,), "label"))
    made = with_outputs(release, *specs, classes=("no", "yes", "vielleicht"))
    write(path, made, random_keys(count, seed=3), **given, encodings=coded, expires=EXPIRES)


def empty(path: Path, release: Release) -> None:
    """No entries, and values that are wider than the file is long."""
    spec = OutputSpec("wide", "float32", (None, 5_000))
    write(path, with_outputs(release, spec), random_keys(0), wide=np.zeros((0, 5_000), np.float32))


def probabilities(path: Path, release: Release) -> None:
    """A classifier's answers by entity, with a default, for one share of the devices."""
    shares = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]] + [[0.25, 0.25, 0.5]] * 3, np.float32)
    values = {"p": EntityValues("probabilities", shares)}
    about = {"classes": ("nein", "ja", "vielleicht"), "default": "ja", "share": "eu"}
    written(path, NAMES, values, expires=EXPIRES, **about)


def labels(path: Path, release: Release) -> None:
    """A label that is not the class of the largest probability; classes are integers."""
    values = {
        "p": EntityValues("probabilities", np.array([[0.5, 0.5], [0.9, 0.1]] + [[0, 1]] * 3, "f8")),
        "l": EntityValues("label", np.array([1, 1, 0, 0, 0], np.int8)),
        "note": EntityValues("other", np.arange(10, dtype=np.int64).reshape(5, 2)),
    }
    written(path, NAMES, values, classes=(-7, 2**40))


def scores(path: Path, release: Release) -> None:
    """A multilabel model's."""
    values = {"s": EntityValues("scores", np.array([[0.2, 0.8], [0.6, 0.7]] + [[0, 0]] * 3, "f4"))}
    written(path, NAMES, values, classes=("a", "b"), threshold=0.6, default="b")


def numbers(path: Path, release: Release) -> None:
    """A regressor's, with a number as default."""
    values = {"y": EntityValues("value", np.array([1.5, -0.0, 1e300, 2.0, 3.0]))}
    written(path, NAMES, values, classes=(), default=4.25)


def ranked(path: Path, release: Release) -> None:
    """Ranked lists of different lengths."""
    rows = [["hôtel-1", "b", "c"], ["z", "", ""], ["", "", ""], ["東京", "é", ""], ["1", "2", "3"]]
    numbers_of = np.array([[0.9, 0.5, 0.1], [0.4, np.nan, np.nan]] + [[3, 2, 1]] * 3, np.float32)
    values = {
        "items": EntityValues("other", joined_items(np.array(rows, object))),
        "scores": EntityValues("other", numbers_of),
    }
    written(path, NAMES, values, classes=(), top=3, default_items=("x", "ÿ"))


def stored_features(path: Path, release: Release) -> None:
    """Columns of several dtypes, one of texts, with moments, and a default that is missing."""
    columns = (
        Column("age", "float32", "age"),
        Column("city", "string", "city"),
        Column("orders", "int64", "orders"),
        Column("new", "bool", "new"),
    )
    inputs = tuple(TensorSpec(c.name, c.dtype, (None, 1)) for c in columns)
    made = with_signature(release, Signature(inputs, release.manifest.signature.outputs, columns))
    given = {
        "age": [41.5, 0.0, 1e-3, 99.0, 7.0],
        "city": ["Łódź", "", "東京", "Łódź", '"\\\n'],
        "orders": [1, -5, 2**53 + 1, 0, 7],
        "new": [True, False, False, True, True],
    }
    defaults = {"age": float("nan"), "city": "—", "orders": 3, "new": False}
    write_entity_features(
        path, made, NAMES, given, defaults=defaults, computed_by="test",
        computed_at=[1_000_000 + i for i in range(5)], stale_at=[1_000_030 + i for i in range(5)],
    )  # fmt: skip


def with_signature(release: Release, signature: Signature) -> Release:
    """``release`` as if it had this signature, where rows may miss values."""
    from dataclasses import replace

    training = {**release.manifest.training, "missing": "allowed"}
    manifest = replace(release.manifest, signature=signature, training=training)
    return replace(release, manifest=manifest)


PACKS: Final[Mapping[str, Callable[[Path, Release], None]]] = {
    "dtypes": dtypes,
    "encodings": encodings,
    "empty": empty,
    "probabilities": probabilities,
    "labels": labels,
    "scores": scores,
    "numbers": numbers,
    "ranked": ranked,
    "features": stored_features,
}

ROWS: Final[Mapping[str, tuple[str, list[list[Any]]]]] = {
    "dense-float32-v1": ("float32", [[0.1, -0.0, 1e-45, 3.0], [1.0, 2.0, float("nan"), 4.0]]),
    "dense-float64-v1": ("float64", [[0.1, -0.0, 5e-324, 3.0], [1.0, 2.0, float("inf"), 4.0]]),
    "dense-float16-v1": ("float16", [[0.1, -0.0, 6e-8, 65504.0]]),
    "dense-int64-v1": ("int64", [[0, -1, 2**63 - 1, -(2**63)]]),
    "dense-int8-v1": ("int8", [[0, -1, 127, -128]]),
    "dense-bool-v1": ("bool", [[True, False, True, False]]),
}
"""Rows of one dtype, by their canonicaliser."""

MIXED: Final = (("f", "float32"), ("s", "string"), ("i", "int64"), ("b", "bool"), ("t", "string"))
MIXED_ROWS: Final[list[list[Any]]] = [
    [-0.0, "Łódź", -5, True, ""],
    [1.5, "", 2**53 + 1, False, "\x1amissing"],
    [float("nan"), "x", 0, True, "y"],
]


def keys() -> list[dict[str, Any]]:
    """Rows and names with their keys, ``None`` for those that have none."""
    found, outputs = [], (OutputSpec("y", "float32", (None,)),)
    for name, (dtype, rows) in ROWS.items():
        columns = tuple(Column(f"c{i}", dtype, "x", i) for i in range(4))  # type: ignore[arg-type]
        inputs = (TensorSpec("x", dtype, (None, 4)),)  # type: ignore[arg-type]
        made = Canonicaliser(Signature(inputs, outputs, columns))
        assert made.name == name
        for row in rows:
            key = made.feed_key({"x": np.array([row], dtype)})
            found.append({"canonicaliser": name, "dtypes": [dtype] * 4, "row": row, "key": key})
    inputs = tuple(TensorSpec(name, dtype, (None, 1)) for name, dtype in MIXED)  # type: ignore[arg-type]
    columns = tuple(Column(name, dtype, name) for name, dtype in MIXED)  # type: ignore[arg-type]
    mixed = Canonicaliser(Signature(inputs, outputs, columns))
    types = [dtype for _, dtype in MIXED]
    for row in MIXED_ROWS:
        arrays = {
            n: np.array([[v]], object if d == "string" else d)
            for (n, d), v in zip(MIXED, row, strict=True)
        }
        key = mixed.feed_key(arrays)
        found.append({"canonicaliser": mixed.name, "dtypes": types, "row": row, "key": key})
    return [{**each, "key": each["key"] and each["key"].hex()} for each in found]


def expected(path: Path) -> dict[str, Any]:
    """What the reader of Python reads out of a pack."""
    with Pack.open(path, now=0) as pack:
        header = pack.header
        wanted = [*map(bytes, pack.keys()), *map(bytes, random_keys(4, seed=9))]
        found: dict[str, Any] = {"keys": {k.hex(): look_up(pack, k) for k in wanted}}
    if header.canonicaliser == ENTITY:
        found["features"] = features(path, [*NAMES, *STRANGERS])
    if header.canonicaliser == ENTITY_ANSWERS:
        opened = EntityPredictions.open(path, header.model)
        found["predictions"] = {
            str(now): predictions(opened, [*NAMES, *STRANGERS], now)
            for now in (NOW, 5.0, float(EXPIRES))
        }
    return found


def main() -> None:
    """Write what is missing."""
    FROZEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        release = value_release(make_release(Path(folder)))
        for name, make in PACKS.items():
            path = FROZEN / f"{name}.pack"
            if not path.exists():
                make(path, release)
                path.chmod(0o644)
                print(f"froze {path.name}")
            if not path.with_suffix(".json").exists():
                text = json.dumps(expected(path), ensure_ascii=False)
                path.with_suffix(".json").write_text(f"{text}\n")
    path = FROZEN / "keys.json"
    if not path.exists():
        path.write_text(f"{json.dumps(keys(), ensure_ascii=False)}\n")
        print(f"froze {path.name}")


if __name__ == "__main__":
    main()
