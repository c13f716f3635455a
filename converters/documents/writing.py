"""Both documents of a release, from what the conversion is about to write."""

from __future__ import annotations

from collections.abc import Mapping

from converters.documents.bom import bill_of_materials
from converters.documents.card import model_card
from converters.documents.facts import ReleaseFacts
from converters.release_spec import ReleaseSpec
from edge_sdk.contract.certificate import Certificate
from edge_sdk.contract.manifest import BOM, CARD, PROFILE, Manifest
from edge_sdk.contract.profile import ReferenceProfile


def documents(
    spec: ReleaseSpec, manifest: Manifest, files: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return the content of the documents by their names in a release folder.

    Args:
        spec: the caller's part of the release.
        manifest: of the release, with all files but the documents.
        files: content of those files by name, but of the models.
    """
    facts = ReleaseFacts(
        manifest,
        Certificate.from_json(files[manifest.variants[0].certificate]),
        ReferenceProfile.from_json(files[PROFILE]),
        spec.purpose,
        spec.limits_of_use,
        spec.data_given,
    )
    return {CARD: model_card(facts).encode(), BOM: bill_of_materials(facts)}
