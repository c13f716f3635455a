"""Download of a pack: by a delta from one that is here if there is one, else whole. A personal
prior is small and comes whole.

Invariants:

* What is put in place is the very file that the plan names and a publisher signed.
* Whatever is wrong with a delta costs a download, never an update.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edge_sdk.contract.pack_delta import delta_target
from edge_sdk.errors import EdgeError, PackError, UpdateError
from edge_sdk.packs.delta import apply_delta, read_delta
from edge_sdk.update.slots import Slots, is_whole

if TYPE_CHECKING:
    from edge_sdk.contract.plan import PackRef, PriorRef
    from edge_sdk.update.forms import FormFetcher
    from edge_sdk.update.trust import ModelTrust


def fetch_pack(
    model: str,
    pack: PackRef,
    held: Iterable[str],
    slots: Slots,
    trust: ModelTrust,
    fetcher: FormFetcher,
) -> None:
    """Put ``pack`` in its place in ``slots``, unless it is there.

    Args:
        model: of the device.
        pack: as the plan names it.
        held: SHA-256 of packs that the device has, the likeliest base first.
        slots: releases and packs on disk.
        trust: verified metadata.
        fetcher: downloads.

    Raises:
        UpdateError: nobody signed it.
        HubError: the hub went away or sent something else.
    """
    target = _signed(model, pack, trust, "pack")
    destination = slots.pack(pack.file.sha256)
    if is_whole(destination, pack.file):
        return
    if not any(_made_of(base, model, pack, slots, trust, fetcher) for base in held):
        fetcher.fetch(target, pack.file, destination)


def fetch_prior(
    model: str, prior: PriorRef, slots: Slots, trust: ModelTrust, fetcher: FormFetcher
) -> None:
    """Put ``prior`` in its place in ``slots``, unless it is there.

    Args:
        model: of the device.
        prior: as the plan names it.
        slots: releases and what belongs to them on disk.
        trust: verified metadata.
        fetcher: downloads.

    Raises:
        UpdateError: nobody signed it.
        HubError: the hub went away or sent something else.
    """
    target = _signed(model, prior, trust, "personal prior")
    destination = slots.prior(prior.file.sha256)
    if not is_whole(destination, prior.file):
        fetcher.fetch(target, prior.file, destination)


def _signed(model: str, ref: PackRef, trust: ModelTrust, what: str) -> str:
    """Return the path of the signed target; raise UpdateError if nobody signed that file."""
    target = ref.target(model)
    if trust.file(target) != ref.file:
        raise UpdateError("download", f"the plan names a {what} that no publisher signed")
    return target


def _made_of(
    base: str, model: str, pack: PackRef, slots: Slots, trust: ModelTrust, fetcher: FormFetcher
) -> bool:
    """Make ``pack`` of the pack ``base``; return whether that could be done."""
    digest = pack.file.sha256
    target, delta = delta_target(model, base, digest), slots.delta(base, digest)
    try:
        signed = trust.file(target)
        if signed is None or not slots.pack(base).is_file():
            return False
        fetcher.fetch(target, signed, delta)
        if read_delta(delta).result != pack.file:
            raise PackError(f"{delta}: makes another pack than the plan names")
        apply_delta(slots.pack(base), delta, slots.pack(digest))
    except EdgeError:
        return False  # the whole file mends it; if the hub is away, that says so
    finally:
        delta.unlink(missing_ok=True)
    return True
