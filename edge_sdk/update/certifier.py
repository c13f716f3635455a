"""What of each release serves on this device: chosen once, and again where something changed."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_sdk.contract.key import ENTITY
from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError
from edge_sdk.model.runtime import runtime_facts
from edge_sdk.packs.reader import Pack
from edge_sdk.system.drivers import driver_facts
from edge_sdk.system.logs import Log
from edge_sdk.update.certification import certify

if TYPE_CHECKING:
    from pathlib import Path

    from edge_sdk.model.options import RuntimeOptions
    from edge_sdk.model.release import Release
    from edge_sdk.update.choice import VariantChoice
    from edge_sdk.update.slots import Slot

_log = Log(__name__)


class Certifier:
    """Chooses among variants and execution providers.

    Args:
        options: threads and providers of this device.
        permitted: returns the accelerators that the plan permits; none for all. The CPU is
            permitted wherever the device has it.
        told: called with a slot and a sentence where what serves of it is not what served before,
            after something changed here.
    """

    def __init__(
        self,
        options: RuntimeOptions,
        permitted: Callable[[], Collection[str]],
        told: Callable[[Slot, str], None],
    ) -> None:
        self._options = options
        self._permitted = permitted
        self._told = told
        self._machine: dict[str, str] | None = None
        self._choices: dict[str, VariantChoice] = {}
        """By release, so that a disk which takes nothing does not have each made again."""
        self._noting = threading.Lock()
        self._ends = False
        self._tried: tuple[Slot, VariantChoice] | None = None
        """What is being tried now, and the note of it on the disk."""

    def choice(self, slot: Slot) -> VariantChoice | None:
        """Return what serves of a slot here and why; ``None`` before it was chosen."""
        return self._choices.get(slot.ref.manifest) or slot.choice()

    def probe(self, slot: Slot) -> str | None:
        """Choose what serves of a release that has come; return what was refused, if anything.

        Raises:
            ReleaseError: nothing of it may serve here.
            PackError: a pack is damaged or not for this release.
            OSError: the disk does not take the note.
        """
        release = slot.opened()
        _check_packs(release, slot.pack, slot.features)
        candidates, environment = self._situation(release)
        choice = certify(
            candidates,
            self._options,
            environment,
            before=slot.choice(),
            note=functools.partial(self._note, slot),
        )
        slot.keep_choice(choice)
        self._choices[slot.ref.manifest] = choice
        return _sentence(choice) if choice.refusals else None

    def opened(self, slot: Slot) -> Release:
        """Return the release with the variant and the provider that serve here.

        Where runtime, drivers, providers or the files that are here are not those of the choice, it
        is made once more, before anything serves.

        Raises:
            ReleaseError: the release cannot be read, or nothing of it answers right here.
        """
        release = slot.opened()
        candidates, environment = self._situation(release)
        choice = self.choice(slot)
        if choice is None or choice.taken is None or choice.environment != environment:
            choice = self._chosen_again(slot, candidates, environment, choice)
        taken = choice.taken
        for each in candidates:
            if taken and (each.variant.name, each.provider) == (taken.variant, taken.provider):
                return each
        raise ReleaseError(f"{release.folder}: what was chosen is not here")

    def is_current(self, slot: Slot) -> bool:
        """Return whether what was chosen of a slot was chosen in this environment."""
        choice = self.choice(slot)
        with contextlib.suppress(ReleaseError):
            return choice is not None and choice.environment == self._situation(slot.opened())[1]
        return False

    def give_up(self, slot: Slot, reason: str) -> bool:
        """Note that what serves of a slot failed; return whether another pair is left to serve."""
        choice = self.choice(slot)
        after = choice.given_up(reason) if choice is not None else None
        if after is None:
            return False
        self._keep(slot, after)
        self._told(slot, _sentence(after))
        return True

    def clean_exit(self) -> None:
        """Note that this process ends on purpose: that is nothing against what is being tried."""
        with self._noting:
            self._ends = True
            if self._tried is not None:
                slot, choice = self._tried
                _write(slot, replace(choice, trying=None))

    def _note(self, slot: Slot, choice: VariantChoice) -> None:
        with self._noting:
            choice = replace(choice, trying=None) if self._ends else choice
            self._tried = None if choice.trying is None else (slot, choice)
            slot.keep_choice(choice)

    def _note_if_possible(self, slot: Slot, choice: VariantChoice) -> None:
        # On a disk that takes nothing it serves all the same.
        with contextlib.suppress(OSError):
            self._note(slot, choice)

    def lacks(self, slot: Slot) -> bool:
        """Return whether files of variants are missing that the device may take by now."""
        try:
            return any(not _is_here(each) for each in slot.opened().variants)
        except ReleaseError:
            return False  # a damaged release is another matter

    def _chosen_again(
        self,
        slot: Slot,
        candidates: tuple[Release, ...],
        environment: Mapping[str, str],
        before: VariantChoice | None,
    ) -> VariantChoice:
        choice = certify(
            candidates,
            self._options,
            environment,
            before=before,
            note=functools.partial(self._note_if_possible, slot),
            lenient=True,
        )
        self._keep(slot, choice)
        was = before.taken.name if before is not None and before.taken is not None else None
        now = choice.taken.name if choice.taken is not None else None
        if before is not None and (was != now or choice.refusals):
            changed = _changes(before.environment, environment)
            self._told(slot, f"{changed}: {_sentence(choice)}")
        _log.info("release %s: %s serves", slot.ref.version, now)
        return choice

    def _keep(self, slot: Slot, choice: VariantChoice) -> None:
        self._choices[slot.ref.manifest] = choice
        _write(slot, choice)

    def _situation(self, release: Release) -> tuple[tuple[Release, ...], dict[str, str]]:
        """Return what may be tried of a release, and the facts on which the choice depends."""
        options = self._permitted_options()
        if not options.providers:
            raise ReleaseError(
                f"the plan permits {', '.join(self._permitted())}, and this device has "
                f"{', '.join(self._options.providers)}"
            )
        here = replace(release, providers=options.providers)
        candidates = tuple(each for each in here.candidates if _is_here(each))
        if not candidates:  # what is missing is named as it is loaded
            candidates = here.candidates
        environment = {
            **self._machine_facts(),
            "threads": str(options.threads),
            # Also those that only take what the first one of a pair does not run.
            "permitted": ", ".join(options.providers),
            "candidates": ", ".join(f"{c.variant.name} on {c.provider}" for c in candidates),
            "options": json.dumps(dict(options.provider_options), sort_keys=True, default=dict),
        }
        return candidates, environment

    def _permitted_options(self) -> RuntimeOptions:
        permitted = self._permitted()
        return self._options.permitted({*permitted, CPU} if permitted else ())

    def _machine_facts(self) -> dict[str, str]:
        if self._machine is None:
            self._machine = {**runtime_facts(), **driver_facts()}
        return self._machine


def _check_packs(release: Release, pack: Path | None, features: Path | None) -> None:
    """Read the packs of a release; raises PackError if one is damaged or for another release."""
    for file, canonicaliser in ((pack, None), (features, ENTITY)):
        if file is not None:
            with Pack.open(file, release, canonicaliser=canonicaliser) as opened:
                opened.verify()


def _write(slot: Slot, choice: VariantChoice) -> None:
    # On a disk that takes nothing it serves all the same.
    with contextlib.suppress(OSError):
        slot.keep_choice(choice)


def _is_here(candidate: Release) -> bool:
    return all((candidate.folder / name).is_file() for name in candidate.variant.files)


def _sentence(choice: VariantChoice) -> str:
    assert choice.taken is not None
    refused = f"; refused: {choice.refusals}" if choice.refusals else ""
    return f"{choice.taken.name} serves: {choice.because}{refused}"


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted({*before, *now})
    changed = [n for n in names if before.get(n) != now.get(n)]
    if not changed:
        return "tried again"
    first = changed[0]
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{first} was {before.get(first, 'not there')!r:.80}, is {now.get(first)!r:.80}{more}"
