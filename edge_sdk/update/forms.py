"""Bringing a file in the form that costs the fewest bytes.

Invariants:

* What is put in place has the digest that a publisher signed, in whatever form it came.
* Whatever is wrong with a form costs its bytes, never an update: the whole file follows.
* A form is taken only if it is smaller than the file, so a hub that lies wastes no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.patch import Form, FormIndex
from edge_sdk.errors import EdgeError, HubError, HubUnreachable, PatchError
from edge_sdk.hub.transfers import part_of
from edge_sdk.update.patch import apply_patch

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import FileRef
    from edge_sdk.hub.client import HubClient

NOTHING: Final = FormIndex({})

SMALL_BYTES: Final = 512
"""Files up to this length come as they are: a form would save less than the index says of it."""


def cheapest(file: FileRef, forms: Iterable[Form], held: Iterable[str]) -> Form | None:
    """Return the form with the fewest bytes; ``None`` if the whole file is no larger.

    Args:
        file: that is wanted.
        forms: in which the hub has it.
        held: SHA-256 of the files that the device has.
    """
    have = set(held)
    usable = (form for form in forms if form.base is None or form.base in have)
    best = min(usable, key=lambda form: form.file.length, default=None)
    return best if best is not None and best.file.length < file.length else None


class FormFetcher:
    """Brings the files of one release, or of one pack.

    Args:
        client: of the hub.
        key: SHA-256 of the release's manifest, or of the pack.
        folder: where patches are kept until they are applied.
        bases: files that the device has, by their SHA-256.
        told: called with the reason where a form could not be used.
    """

    def __init__(
        self,
        client: HubClient,
        key: str,
        folder: Path,
        bases: Mapping[str, Path],
        told: Callable[[str], None],
    ) -> None:
        self._client = client
        self._key = key
        self._folder = folder
        self._bases = bases
        self._told = told
        self._index: FormIndex | None = None

    def fetch(self, target: str, file: FileRef, destination: Path) -> None:
        """Put the signed target at ``destination``: whole and verified, or not at all.

        Args:
            target: path of the signed target.
            file: its length and SHA-256.
            destination: its place; the folder is there.

        Raises:
            HubUnreachable: the network failed; what came is kept.
            HubError: the hub refused, or sent something else.
        """
        # A whole download that was begun is gone on with: its form had failed, or was not there.
        if not part_of(destination).exists() and self._made(target, file, destination):
            return
        self._client.download(target, file, destination)

    def _made(self, target: str, file: FileRef, destination: Path) -> bool:
        """Make the file of its cheapest form; return whether that could be done."""
        if file.length <= SMALL_BYTES:
            return False
        form = cheapest(file, self._forms().forms.get(file.sha256, ()), self._bases)
        if form is None:
            return False
        patch = self._folder / f"{file.sha256}-{form.file.sha256}.patch"
        base = self._bases[form.base] if form.base is not None else None
        try:
            self._client.download_form(self._key, form, patch)
            apply_patch(patch, base, file, destination)
        except HubUnreachable:
            raise  # its part waits
        except (HubError, PatchError) as error:
            self._told(f"{target}: {error}; it is downloaded whole")
            return False
        finally:
            patch.unlink(missing_ok=True)
        return True

    def _forms(self) -> FormIndex:
        """The index, asked for once; an empty one if the hub has none."""
        if self._index is None:
            try:
                self._index = self._client.forms(self._key)
            except HubUnreachable:
                raise
            except EdgeError:
                self._index = NOTHING
        return self._index
