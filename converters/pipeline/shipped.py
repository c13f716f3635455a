"""The variants that a release holds: the chosen one, and those that the caller ships beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from converters.certification.choice import Choice
from converters.certification.reference import Reference
from converters.errors import ConversionError
from converters.sources.model_source import ModelSource
from edge_sdk.contract.certificate import Certificate
from edge_sdk.contract.manifest import CERTIFICATE, GOLDEN, MODEL, Variant
from edge_sdk.model.release import Feed, Release


@dataclass
class Shipped:
    """The files of every variant of one release.

    Attributes:
        source: the model.
        reference: the model's own answers.
        certificate: what the certificates of all variants have in common.
        choice: the variant that was chosen, and why.
        variants: of the manifest, in the order of preference; filled by :meth:`files`.
    """

    source: ModelSource
    reference: Reference
    certificate: Certificate
    choice: Choice
    variants: tuple[Variant, ...] = field(default=(), init=False)

    def files(
        self, chosen: Release, built: Mapping[str, Release], ship: Sequence[str], answers: Feed
    ) -> dict[str, bytes | Path]:
        """Return the content of the files of all variants, by name; of models where it lies.

        Args:
            chosen: scratch release of the variant that was chosen.
            built: scratch releases of all variants, by name.
            ship: variants that the caller asked for.
            answers: of the chosen one, as :meth:`ModelSource.run` gave them.

        Raises:
            ConversionError: one that was asked for was not built, or is not accepted.
        """
        others = [name for name in ship if name != self.choice.name]
        self._check(others, built)
        first = replace(chosen.variant, model=MODEL, golden=GOLDEN, certificate=CERTIFICATE)
        files = self._files_of(first, chosen, answers, self.choice.because)
        self.variants = (first,)
        for name in others:
            variant = _with_own_files(built[name].variant)
            because = f"shipped beside {self.choice.name}, as it was asked for"
            answers = self.source.run(built[name])
            files |= self._files_of(variant, built[name], answers, because)
            self.variants += (variant,)
        return files

    def _check(self, names: Sequence[str], built: Mapping[str, Release]) -> None:
        accepted = {v.name for v in self.certificate.variants if v.accepted}
        for name in names:
            if name not in built:
                raise ConversionError(
                    f"ship: {name} cannot be made of this model for this target; there are "
                    f"{', '.join(built)}"
                )
            if name not in accepted:
                raise ConversionError(f"ship: {name}: {self.choice.not_chosen[name]}")

    def _files_of(
        self, variant: Variant, release: Release, answers: Feed, because: str
    ) -> dict[str, bytes | Path]:
        certificate = replace(
            self.certificate,
            chosen=variant.name,
            because=because,
            not_chosen=self.choice.not_chosen,
            groups=self.reference.group_results(answers, self.source.groups),
        )
        return {
            variant.model: release.model_path,
            variant.golden: self.source.golden(release, answers).to_bytes(),
            variant.certificate: certificate.to_json(),
        }


def _with_own_files(variant: Variant) -> Variant:
    name = variant.name
    return replace(
        variant,
        model=f"model-{name}.onnx",
        golden=f"golden-{name}.npz",
        certificate=f"certificate-{name}.json",
    )
