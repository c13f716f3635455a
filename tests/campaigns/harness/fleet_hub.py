"""A real hub for campaigns on devices: releases, packs and plans, signed by its own keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloud_hub.hub import Hub, open_hub
from cloud_hub.packs.publishing import ANSWERS, publish_pack
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import from_plain, to_plain
from edge_sdk.contract.plan import PackRef, ReleaseRef
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.writer import write_pack
from tests.campaigns.harness.bulky_release import make_bulky
from tests.campaigns.harness.forked import in_child
from tests.edge.builders import CLASSES, make_release, rows
from tests.processes.ready import run_ready
from tests.servers import HubProcess

ROWS: Final = rows(400)
PACKED: Final = 350
"""The first rows are in the packs, the others are left to the models."""

MANY: Final = 1_000_000


class FleetHub:
    """A hub process, and what an administrator beside it does.

    Its loop stands still: plans change when a campaign says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = HubProcess(folder, tick=0)
        self.url = self.process.url

    def token(self, model: str) -> str:
        return self.process.token(model, uses=MANY)

    def within(self, work: Callable[[Hub], Any]) -> Any:
        """Do ``work`` with the hub's own services, in a child: this process has to fork."""

        def opened() -> Any:
            hub = open_hub(Settings(self.process.data, tick_seconds=0))
            try:
                return work(hub)
            finally:
                hub.close()

        return in_child(opened)

    def command(self, *words: str) -> None:
        """Run ``edge-hub`` with these words, as an administrator on the hub's machine does."""
        run_ready("hub", ["-m", "cloud_hub.cli.main", *words], check=True)

    def publish(
        self, model: str, version: str, seed: int, *, bulk: int = 0, **options: Any
    ) -> ReleaseRef:
        """Publish a release with a pack of answers that are unlike those of its model.

        Args:
            model: name of the line.
            version: of the release.
            seed: of its answers.
            bulk: bytes of noise in its model, the same in every version.
            options: of :func:`make_release`, for a release without noise.
        """

        def publish(hub: Hub) -> Any:
            made = self.folder / "made"
            if bulk:
                release = make_bulky(made, model, version, seed, bulk, noise=1)
            else:
                release = make_release(made, model, version, seed, **options)
            hub.registry.publish(release, actor="campaign", override="campaign")
            if hub.plans.current(model) is None:
                hub.plans.promote(model, version, actor="campaign", reason="first")
            return to_plain(ReleaseRef(version, release.digest, _pack(hub, release, made, seed)))

        return from_plain(ReleaseRef, self.within(publish))

    def publish_next_pack(self, model: str, reference: ReleaseRef, seed: int) -> ReleaseRef:
        """Publish another pack for a release that serves, and a delta to it if that is worth it."""

        def publish(hub: Hub) -> Any:
            release = hub.registry.release(model, reference.version)
            pack = _pack(hub, release, self.folder / "made", seed, altered=4)
            return to_plain(replace(reference, pack=pack))

        return from_plain(ReleaseRef, self.within(publish))

    def serve(self, model: str, reference: ReleaseRef) -> int:
        """Make the next plan of a model serve ``reference``; return the plan's serial."""

        def change(hub: Hub) -> int:
            plan = hub.plans.change(
                model,
                lambda plan: replace(plan, serving=reference, experiment=None),
                actor="campaign",
                reason="campaign",
            )
            if hasattr(hub, "forms"):
                hub.forms.make()  # by the loop, elsewhere
            return plan.serial

        return int(self.within(change))

    def close(self) -> None:
        self.process.close()


def _pack(hub: Hub, release: Release, made: Path, seed: int, altered: int = 0) -> PackRef:
    """Sign a pack of answers that depend on the seed; the first ``altered`` are others."""
    key = Canonicaliser(release.manifest.signature).key
    keys = b"".join(key(row.tobytes()) for row in ROWS[:PACKED])
    answers = np.full((PACKED, CLASSES), 0.125, np.float32)
    answers[:altered, (seed + 1) % CLASSES] = 0.75
    answers[altered:, seed % CLASSES] = 0.75
    path = made / f"{release.manifest.model}-{release.manifest.version}-{seed}-{altered}.pack"
    table = np.frombuffer(keys, np.uint8).reshape(-1, 16)
    write_pack(path, release, table, {"probabilities": answers}, answered_by=f"campaign {seed}")
    model = release.manifest.model
    return publish_pack(hub.registry, hub.plans, model, path, ANSWERS).pack
