"""Packs and rows that Hypothesis makes: any dtypes, shapes, encodings, names and entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import FLOAT_CODES, ITEM_BYTES
from edge_sdk.contract.manifest import OutputSpec
from edge_sdk.contract.pack import EntityPackInfo
from edge_sdk.model.release import Release
from edge_sdk.packs.entity_predictions import (
    EntityValues,
    entity_keys,
    joined_items,
    write_entity_predictions,
)
from tests.edge.packs.builders import with_outputs, write

DTYPES = sorted(ITEM_BYTES)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
"""What a header may hold, quotes, control characters and emoji included."""

NAMES = TEXTS.filter(bool)
FIELD_NAMES = st.lists(
    st.one_of(st.sampled_from(["__proto__", "length", "constructor", "\x1f", '"\\']), NAMES),
    min_size=1,
    max_size=5,
    unique=True,
)


@st.composite
def drawn_keys(draw: st.DrawFn, most: int = 40) -> NDArray[np.uint8]:
    """Different keys [count, 16], many of which share their first bytes."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, kinds = draw(st.integers(0, most)), draw(st.sampled_from([1, 3, 255]))
    keys = random.integers(0, 256, (count, 16), np.uint8)
    keys[:, :4] %= kinds
    return np.unique(keys, axis=0)


@st.composite
def drawn_array(draw: st.DrawFn, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Finite numbers of a dtype, at its limits too."""
    options = {"allow_nan": False, "allow_infinity": False} if dtype in FLOAT_CODES else {}
    elements = hnp.from_dtype(np.dtype(dtype), **options)
    return draw(hnp.arrays(dtype, shape, elements=elements))


@st.composite
def drawn_pack(draw: st.DrawFn, path: Path, release: Release) -> NDArray[np.uint8]:
    """Write a pack of answers; returns its keys."""
    keys = draw(drawn_keys())
    specs, arrays, encodings = [], {}, {}
    for name in draw(FIELD_NAMES):
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
        array = draw(drawn_array(dtype, (len(keys), *shape)))
        encoding = draw(st.sampled_from([None, "uint8", "float16"]))
        if encoding and dtype in FLOAT_CODES:
            encodings[name] = encoding
            # So that both encodings can hold it, and the range itself is finite.
            array = np.clip(array, -6e4, 6e4).astype(dtype)
        specs.append(OutputSpec(name, dtype, (None, *shape)))  # type: ignore[arg-type]
        arrays[name] = array
    expires = draw(st.one_of(st.none(), st.integers(1, 2**33)))
    made = with_outputs(release, *specs)
    write(path, made, keys, **arrays, encodings=encodings, expires=expires)
    return keys


LABELS = st.lists(
    st.one_of(TEXTS, st.integers(-(2**63) + 1, 2**63 - 1)), min_size=1, max_size=4, unique=True
)


@st.composite
def drawn_predictions(draw: st.DrawFn, path: Path) -> list[str]:
    """Write a pack of answers by entity; returns the names of entities."""
    names = draw(st.lists(NAMES, max_size=6, unique=True))
    kind = draw(st.sampled_from(["probabilities", "scores", "label", "value", "ranked"]))
    count, about, classes = len(names), {"classes": ()}, tuple(draw(LABELS))
    width = len(classes)
    if kind == "ranked":
        items = draw(hnp.arrays(object, (count, 3), elements=TEXTS))
        values = {
            "items": EntityValues("other", joined_items(items)),
            "scores": EntityValues("other", draw(drawn_array("float32", (count, 3)))),
        }
        about |= {"top": 3, "default_items": tuple(draw(st.lists(TEXTS, max_size=2)))}
    elif kind == "value":
        array = draw(drawn_array(draw(st.sampled_from(["float32", "float64"])), (count,)))
        values = {"y": EntityValues("value", array)}
        about["default"] = draw(st.one_of(st.none(), st.floats(-1e9, 1e9), st.integers(-9, 9)))
    elif kind == "label":
        index = draw(hnp.arrays(np.int16, (count,), elements=st.integers(0, width - 1)))
        values = {"l": EntityValues("label", index)}
        about |= {"classes": classes, "default": draw(st.sampled_from([None, *classes]))}
    else:
        values = {"p": EntityValues(kind, draw(drawn_array("float32", (count, width))))}  # type: ignore[arg-type]
        about |= {"classes": classes, "default": draw(st.sampled_from([None, *classes]))}
    info = EntityPackInfo("job", 1, draw(st.floats(0, 2e9)), **about)  # type: ignore[arg-type]
    write_entity_predictions(
        path, info, entity_keys(names), values, model="demo", version="1.0", manifest="a" * 64,
        answered_by=draw(TEXTS), expires=draw(st.one_of(st.none(), st.integers(1, 2**31))),
    )  # fmt: skip
    return names
