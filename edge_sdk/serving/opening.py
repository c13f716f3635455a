"""Opening of a release and its packs from paths that an application gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge_sdk.errors import PackError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Release
from edge_sdk.system.providers import DEFAULT_PROVIDERS
from edge_sdk.validation import path_of

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.contract.personal.prior import PersonalPrior
    from edge_sdk.contract.personal.session_features import SessionFeatures
    from edge_sdk.packs.entity_features import EntityFeatures
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.packs.reader import Pack
    from edge_sdk.sessions.session_store import SessionStore


def opened_release(folder: str | Path, config: DeviceConfig) -> Release:
    """Return the release in ``folder``, checked but for its models, which loading checks.

    Args:
        folder: of the release.
        config: of this device, which has the files of variants that it may take.
    """
    providers = RuntimeOptions.of(config).providers
    release = Release.open(folder, verify=False, providers=providers)
    release.verify(model=False)
    if providers == DEFAULT_PROVIDERS:
        return release  # the first variant, on the CPU: there is nothing to try
    return _certified(release, RuntimeOptions.of(config))


def _certified(release: Release, options: RuntimeOptions) -> Release:
    """Return the release with the variant and the provider that serve on this machine.

    Raises:
        ReleaseError: none answers right here.
    """
    from edge_sdk.update.certification import certify

    candidates = release.candidates
    choice = certify(candidates, options, {}, before=None, note=lambda choice: None, lenient=True)
    assert choice.chosen is not None
    return candidates[choice.chosen]


def opened_pack(path: str | Path | None, release: Release) -> Pack | None:
    """Return the pack of answers at ``path``; ``None`` for none."""
    if path is None:
        return None
    from edge_sdk.packs.reader import Pack  # only where there is a pack: it loads mmap and more

    return Pack.open(path, release)


def opened_features(path: str | Path | None, release: Release) -> EntityFeatures | None:
    """Return the features at ``path``; ``None`` for none."""
    if path is None:
        return None
    from edge_sdk.packs.entity_features import EntityFeatures

    return EntityFeatures.open(path, release)


def opened_entities(path: str | Path | None, release: Release) -> EntityPredictions | None:
    """Return the answers by entity at ``path``, for the release's model; ``None`` for none."""
    if path is None:
        return None
    from edge_sdk.packs.entity_predictions import EntityPredictions

    return EntityPredictions.open(path, release.manifest.model)


def opened_prior(path: str | Path | None, release: Release) -> PersonalPrior | None:
    """Return the personal prior at ``path``; ``None`` for none."""
    if path is None:
        return None
    from edge_sdk.personalise.prior_file import open_prior

    return open_prior(path_of("prior", path, PackError), release)


class OfflineFiles(NamedTuple):
    """Files beside the release of a device without a hub; see :meth:`EdgeDevice.offline`."""

    pack: str | Path | None
    features: str | Path | None
    entities: str | Path | None
    shadow: str | Path | None
    interleave: str | Path | None
    sessions: SessionFeatures | str | Path | None = None
    prior: str | Path | None = None

    def opened(
        self, release: Release
    ) -> tuple[Pack | None, EntityFeatures | None, EntityPredictions | None]:
        """Return the packs of answers, of features and of answers by entity, opened."""
        return (
            opened_pack(self.pack, release),
            opened_features(self.features, release),
            opened_entities(self.entities, release),
        )

    def opened_sessions(self, clock: Callable[[], float]) -> SessionStore | None:
        """Return the sessions that are declared; ``None`` where none are."""
        if self.sessions is None:
            return None
        from edge_sdk.sessions.opening import opened_sessions, read_declaration

        return opened_sessions(read_declaration(self.sessions), clock)
