"""Subject of a benchmark: a release, its rows, a pack of half of them, and devices that serve it.

A release folder is used as it is; around a bare ``.onnx`` file a temporary one is made.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_sdk.bench import rows as make_rows
from edge_sdk.bench.bare import release_around
from edge_sdk.bench.harness import Candidate
from edge_sdk.bench.raw import RawSession
from edge_sdk.bench.result import LIMIT, OURS, RAW_DEFAULT, RAW_ONE
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.key import KEY_BYTES
from edge_sdk.errors import BenchError, PackError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.outputs import needed_outputs
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.session import Model, fixed_batch
from edge_sdk.model.state import initial_state
from edge_sdk.packs.writer import write_pack

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice

DeviceOpener = Callable[..., "EdgeDevice"]
"""Takes the arguments of :meth:`edge_sdk.EdgeDevice.offline`."""


@dataclass(frozen=True)
class Subject:
    """One model to measure.

    Attributes:
        name: name in the results.
        release: release that devices serve.
        misses: rows that are not in the pack, one feed each.
        hits: rows that are; none without a pack.
        pack: its path; ``None`` if rows have no keys or outputs cannot be stored.
        folder: folder for temporary files.
        open_device: opens a release folder as a device without a hub.
        notes: peculiarities of this model.
    """

    name: str
    release: Release
    misses: Sequence[Feed]
    hits: Sequence[Feed]
    pack: Path | None
    folder: Path
    open_device: DeviceOpener
    notes: tuple[str, ...]

    @classmethod
    def prepare(
        cls,
        target: Path,
        folder: Path,
        open_device: DeviceOpener,
        entries: int,
        rows: Path | None = None,
    ) -> Subject:
        """Get ``target`` (a release folder or an ``.onnx`` file) ready.

        Args:
            target: release folder or ``.onnx`` file.
            folder: folder for temporary files; it must outlive the subject.
            open_device: :meth:`edge_sdk.EdgeDevice.offline`.
            entries: entries of the pack that its devices open.
            rows: file of real rows; otherwise a release's golden inputs, or random ones.

        Raises:
            ReleaseError: ``target`` holds no whole release.
            BenchError: ``target`` is neither, or cannot be measured.
        """
        release = _release(target, folder, rows)
        signature = release.manifest.signature
        inputs = release.golden().inputs
        if rows is not None and target.is_dir():
            inputs = make_rows.from_file(rows, signature.application_inputs)
        inputs = {spec.name: inputs[spec.name] for spec in signature.application_inputs}
        notes = []
        if signature.batched and not any(spec.batch for spec in signature.inputs):
            inputs = make_rows.different(inputs, make_rows.ROWS)
        elif not signature.batched:
            notes.append("the model has no batch axis: every call gets the same input")
        feeds = make_rows.singles(inputs, signature)
        half = len(feeds) // 2 or len(feeds)
        try:
            pack = _write_pack(release, folder / "bench.pack", feeds[half:], entries)
        except PackError as error:
            notes.append(f"no pack: {error}")
            pack = None
        hits = feeds[half:] if pack is not None else ()
        misses = feeds[:half]
        return cls(target.name, release, misses, hits, pack, folder, open_device, tuple(notes))

    def device(self, *, monitoring: bool = True) -> EdgeDevice:
        """Open a device as an application does, with the pack."""
        config = DeviceConfig(monitoring=monitoring)
        return self.open_device(self.release.folder, pack=self.pack, config=config)

    @functools.cached_property
    def inputs(self) -> list[Any]:
        """The misses as application inputs."""
        return [
            make_rows.application_row(feed, self.release.manifest.signature) for feed in self.misses
        ]

    @functools.cached_property
    def raw_feeds(self) -> list[Feed]:
        """The misses as ``session.run`` takes them: state included, fixed batches filled up."""
        signature = self.release.manifest.signature
        state = initial_state(signature)
        size = fixed_batch(signature)
        return [
            {n: np.repeat(a, size, axis=0) if size and size > 1 else a for n, a in feed.items()}
            | state
            for feed in self.misses
        ]

    def ours(self, device: EdgeDevice) -> Candidate:
        """Return ``device.predict`` on the misses."""
        return Candidate(OURS, device.predict, self.inputs)

    def raw(self, threads: int | None) -> Candidate:
        """Return ``session.run`` on the same rows."""
        name = RAW_ONE if threads else RAW_DEFAULT
        return Candidate(name, RawSession(self.release.model_path, threads).run, self.raw_feeds)

    def limit(self) -> Candidate | None:
        """Return the binding alone, one buffer per row; ``None`` if there are strings."""
        session = RawSession(self.release.model_path, threads=1)
        names = [spec.name for spec in needed_outputs(self.release.manifest)]
        bindings = [session.bound(feed, names) for feed in self.raw_feeds]
        if None in bindings:
            return None
        return Candidate(LIMIT, session.limit, bindings)


def _release(target: Path, folder: Path, rows: Path | None) -> Release:
    if target.is_dir():
        return Release.open(target)
    if not target.is_file():
        raise BenchError(f"{target}: expected a release folder or an .onnx file")
    return release_around(target, folder / "release", rows)


def _write_pack(release: Release, path: Path, feeds: Sequence[Feed], entries: int) -> Path:
    """Write a pack of the answers to ``feeds`` among random keys; raises :class:`PackError`."""
    canonicaliser = Canonicaliser(release.manifest.signature)
    keys = [canonicaliser.feed_key(feed) for feed in feeds]
    keyed = [(key, feed) for key, feed in zip(keys, feeds, strict=True) if key is not None]
    if not keyed:
        raise PackError("its inputs have no keys")
    answers = _answers(release, [feed for _, feed in keyed])
    others = max(0, entries - len(keyed))
    # Random keys fill the pack to a realistic size; the real ones lie among them.
    random = np.random.default_rng(2).integers(0, 256, (others, KEY_BYTES), dtype=np.uint8)
    real = np.frombuffer(b"".join(key for key, _ in keyed), np.uint8).reshape(-1, KEY_BYTES)
    outputs = {
        name: np.concatenate([array, np.resize(array, (others, *array.shape[1:]))])
        for name, array in answers.items()
    }
    # Longer than any benchmark runs.
    in_a_day = int(time.time()) + 86_400
    write_pack(
        path, release, np.concatenate([real, random]), outputs,
        answered_by="bench", expires=in_a_day,
    )  # fmt: skip
    return path


def _answers(release: Release, feeds: Sequence[Feed]) -> Feed:
    """Return the model's answers to ``feeds``."""
    together = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    return Model.load(release).run(together, needed_outputs(release.manifest))
