"""Late labels are labels that the release knows: one, or a set of them where it gives several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_sdk.contract.label_sets import LabelSet
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Manifest


def check_label(manifest: Manifest, label: Any) -> None:
    """Refuse a label that is none of the release's classes.

    Args:
        manifest: of the release that answered.
        label: plain value, or a :class:`LabelSet` of several.

    Raises:
        InputError: it is no class, or one where several are due, or several where one is.
    """
    several = manifest.task == "multilabel"
    if several != isinstance(label, LabelSet):
        wanted = "a list of labels, perhaps empty" if several else "one label"
        raise InputError("label", f"expected {wanted}, got {label!r:.60}")
    classes = manifest.signature.classes
    names = {str(name) for name in classes} if several else classes
    for each in label.labels if several else (label,):
        if classes and each not in names:
            raise InputError("label", f"expected one of {list(classes)[:20]}, got {each!r:.60}")
