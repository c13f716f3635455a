"""Declared sets of features as a source that knows the past."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_hub.errors import HubFault
from cloud_hub.features.snapshot import FOLDER
from edge_sdk.system.files import make_folder

if TYPE_CHECKING:
    from cloud_hub.features.sets import FeatureSets
    from cloud_hub.policy.schema.batch import BatchSource


def knows_the_past(source: BatchSource, features: FeatureSets, model: str) -> bool:
    """Return whether a source can be asked for a moment in the past."""
    return source.as_of or (source.entities is not None and bool(features.of_model(model)))


def keep_features(features: FeatureSets, model: str, work: Path, as_of: float) -> None:
    """Put what the sets of a model hold beside a task, so that a resumed worker reads the same.

    Args:
        features: of the hub.
        model: whose sets are kept; none are if it has none.
        work: folder of the generation.
        as_of: moment of the generation, in Unix seconds.

    Raises:
        HubFault: the disk does not take it.
    """
    try:
        shutil.rmtree(work / FOLDER, ignore_errors=True)  # of a hub that was killed right here
        make_folder(work)
        features.write_snapshot(model, work, as_of)
    except OSError as error:
        raise HubFault(f"source: the features cannot be kept; {error}") from error
