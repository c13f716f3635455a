"""Late labels are labels that the model knows: one, or a set of them where it gives several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from edge_sdk.contract.label_sets import LabelSet
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label, Manifest


@dataclass(frozen=True)
class LabelCheck:
    """What a label of a model's answers may be.

    Attributes:
        classes: of the model; none where it gives numbers.
        several: it gives any number of them.
    """

    classes: tuple[Label, ...] = ()
    several: bool = False

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return that of a release."""
        return cls(manifest.signature.classes, manifest.task == "multilabel")

    def check(self, label: Any) -> None:
        """Refuse a label that is none of the classes.

        Args:
            label: plain value, or a :class:`LabelSet` of several.

        Raises:
            InputError: it is no class, or one where several are due, or several where one is.
        """
        if self.several != isinstance(label, LabelSet):
            wanted = "a list of labels, perhaps empty" if self.several else "one label"
            raise InputError("label", f"expected {wanted}, got {label!r:.60}")
        classes = self.classes
        names = {str(name) for name in classes} if self.several else classes
        for each in label.labels if self.several else (label,):
            if classes and each not in names:
                raise InputError("label", f"expected one of {list(classes)[:20]}, got {each!r:.60}")
