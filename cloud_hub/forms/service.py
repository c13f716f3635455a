"""Forms of what devices are to download, made in the background by one thread.

Invariants:

* Nothing waits for a form: what has none yet is downloaded whole.
* What is made is bounded by what plans name and devices hold; what neither names any more is
  removed.
"""

from __future__ import annotations

import contextvars
import logging
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine, func, select

from cloud_hub.fleet.tables import devices
from cloud_hub.forms.making import make_patch
from cloud_hub.forms.wanted import packs_of, wanted_forms
from cloud_hub.packs.publishing import pack_file
from cloud_hub.registry.per_model import for_each
from edge_sdk.contract.manifest import MANIFEST, FileRef, Manifest

if TYPE_CHECKING:
    from cloud_hub.forms.store import FormStore
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.plan import PackRef
    from edge_sdk.model.release import Release

log = logging.getLogger(__name__)

SECONDS: Final = 60.0
"""Between two looks at which versions devices hold; a new plan or version is looked at at once."""

LARGEST: Final = 1 << 30
"""Files beyond it are only offered whole."""

SMALLEST: Final = 512
"""Files up to it are only offered whole, as no device asks for a form of them."""

WORTH: Final = 0.97
"""A form is offered if it has at most this share of the whole file's bytes."""

STOP_SECONDS: Final = 30.0


@dataclass(frozen=True)
class FormRecord:
    """A form that devices may download.

    Attributes:
        version: of the release that it belongs to.
        file: name of the file in the release.
        base: version of the release that it is made of; ``None`` for the whole file, compressed.
        length: bytes on the wire.
        whole: bytes of the file.
    """

    version: str
    file: str
    base: str | None
    length: int
    whole: int


class Forms:
    """Forms of the releases and packs of all models.

    Args:
        engine: of the database.
        store: where forms are kept.
        registry: releases, their files, and the signed repository.
        plans: which name what devices are to have.
    """

    def __init__(self, engine: Engine, store: FormStore, registry: Registry, plans: Plans) -> None:
        self._engine = engine
        self.store = store
        self._registry = registry
        self._plans = plans
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._seen: dict[str, object] = {}
        self._looked = 0.0
        self._tried: set[tuple[str, str, str | None]] = set()

    def tick(self, now: float) -> None:
        """Have the thread make what is missing, if it is not at work already."""
        if self._thread is not None and self._thread.is_alive():
            return
        seen = {model: self._state(model) for model in self._registry.models()}
        if seen == self._seen and now - self._looked < SECONDS:
            return
        self._seen, self._looked = seen, now
        # In this context: what it writes is refused once another worker leads.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._run,), name="hub-forms", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End after the file under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=STOP_SECONDS)

    def make(self) -> None:
        """Make what is missing, now, and remove what nobody needs any more."""
        keys: set[str] = set()
        for_each(self._registry.models(), lambda model: self._make_model(model, keys))
        if not self._stop.is_set():
            self.store.keep(keys)
            # What a plan names again later is made again.
            self._tried = {tried for tried in self._tried if tried[0] in keys}

    def _make_model(self, model: str, keys: set[str]) -> None:
        """Make what one model lacks; add what it needs to ``keys``."""
        plan = self._plans.current(model)
        known = [(v.version, v.status) for v in self._registry.versions(model)]
        for wanted in wanted_forms(plan, known, self._held(model)):
            release = self._registry.release(model, wanted.version)
            keys.add(release.digest)
            bases = [self._registry.release(model, base) for base in wanted.bases]
            self._make_release(release, bases)
        for pack in packs_of(plan):
            keys.add(pack.file.sha256)
            self._make_pack(model, pack)

    def records(self, model: str) -> list[FormRecord]:
        """Return the forms of a model's releases."""
        versions = self._registry.versions(model)
        files = {v.version: self._listed(model, v.version, v.manifest) for v in versions}
        names = {
            ref.sha256: version for version in reversed(files) for ref in files[version].values()
        }
        return [
            FormRecord(
                v.version, name, form.base and names.get(form.base, form.base[:12]),
                form.file.length, ref.length,
            )
            for v in versions
            for index in [self.store.index(v.manifest).forms]
            for name, ref in files[v.version].items()
            for form in index.get(ref.sha256, ())
        ]  # fmt: skip

    def _listed(self, model: str, version: str, manifest: str) -> dict[str, FileRef]:
        """Return the files of a version by its manifest alone: the files may be far away."""
        raw = self._registry.repository.read_target(
            f"models/{model}/{version}/{manifest}.{MANIFEST}"
        )
        return {MANIFEST: FileRef(len(raw), manifest), **Manifest.from_json(raw).files}

    def _run(self) -> None:
        try:
            self.make()
        except Exception:
            # A thread's errors reach nobody else; the next look tries again.
            log.exception("forms could not be made; devices download whole files meanwhile")

    def _state(self, model: str) -> object:
        plan = self._plans.current(model)
        return plan.serial if plan else 0, len(self._registry.versions(model))

    def _held(self, model: str) -> dict[str, int]:
        """Return the number of devices that said they hold each version."""
        held = devices.c.version
        query = select(held, func.count()).where(devices.c.model == model, held.is_not(None))
        with self._engine.connect() as db:
            return {row[0]: row[1] for row in db.execute(query.group_by(held))}

    def _make_release(self, release: Release, bases: list[Release]) -> None:
        """Make the forms of a release: the largest files and the deltas first, as most devices
        hold a base, and those that ask before a form is there download the whole file.
        """
        files = sorted(_files(release).items(), key=lambda item: -item[1].length)
        for name, ref in files:
            new = release.folder / name
            for base in bases:
                before = counterpart(name, release.manifest, base.manifest)
                old = _files(base).get(before)
                # A file that both have is linked on the device.
                if old is not None and old != ref:
                    path = base.folder / before
                    self._make_form(release.digest, ref.sha256, old.sha256, new, path)
        for name, ref in files:
            self._make_form(release.digest, ref.sha256, None, release.folder / name, None)

    def _make_pack(self, model: str, pack: PackRef) -> None:
        """The pack and every delta to it, compressed."""
        repository, digest = self._registry.repository, pack.file.sha256
        if (digest, digest, None) in self._tried:
            return
        # The pack last: where it was tried, so were the deltas, and the metadata need not be read.
        for target, sha256 in self._deltas(model, digest):
            folder, _, name = target.rpartition("/")
            with repository.targets.local_file(f"{folder}/{sha256}.{name}") as path:
                self._make_form(digest, sha256, None, path, None)
        with pack_file(repository, model, pack) as path:
            self._make_form(digest, digest, None, path, None)

    def _deltas(self, model: str, digest: str) -> Iterator[tuple[str, str]]:
        """Yield (target, SHA-256) of every signed delta that makes the pack ``digest``."""
        for target, file in self._registry.repository.releases().signed.targets.items():
            if target.startswith(f"packs/{model}/") and target.endswith(f"-{digest}.delta"):
                yield target, file.hashes["sha256"]

    def _make_form(
        self, key: str, result: str, base: str | None, new: Path, old: Path | None
    ) -> None:
        """Make one form, unless it is there or was not worth it."""
        size = new.stat().st_size
        if self._stop.is_set() or (key, result, base) in self._tried:
            return
        forms = self.store.index(key).forms.get(result, ())
        if any(form.base == base for form in forms) or not SMALLEST < size <= LARGEST:
            self._tried.add((key, result, base))
            return
        with tempfile.TemporaryDirectory(prefix="edge-hub-") as folder:
            patch = Path(folder) / "patch"
            make_patch(old, new, patch)
            if patch.stat().st_size <= WORTH * size:
                self.store.add(key, result, base, patch)
                log.debug("form of %s: %d of %d bytes", result[:12], patch.stat().st_size, size)
        self._tried.add((key, result, base))


def counterpart(name: str, manifest: Manifest, base: Manifest) -> str:
    """Return the name that a file has in the release that devices hold.

    A variant's files have other names where it was the chosen one there or is it here.

    Args:
        name: of the file in the new release.
        manifest: of the new release.
        base: of the release that devices hold.
    """
    before = {variant.name: variant for variant in base.variants}
    for variant in manifest.variants:
        if name in variant.files and variant.name in before:
            return before[variant.name].files[variant.files.index(name)]
    return name


def _files(release: Release) -> dict[str, FileRef]:
    """Return the files of a release, its manifest among them."""
    size = (release.folder / MANIFEST).stat().st_size
    return {MANIFEST: FileRef(size, release.digest), **release.manifest.files}
