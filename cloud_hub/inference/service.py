"""Answers of a model's cloud line, through the device's own runtime.

Rows that wait at the same time are answered by one run of the model. Each is checked by itself
first, so that one that does not fit costs no other its answer; a row's answer in company is the one
that it has alone, within what the certificate of a release states (docs/CASCADE.md).
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.inference.lines import CloudLines
from edge_sdk.contract.fleet import CloudReply, CloudRequest
from edge_sdk.contract.manifest import Manifest, Role, Signature
from edge_sdk.errors import InputError, ReleaseError
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.schema import InputSchema

if TYPE_CHECKING:
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from edge_sdk.model.session import Model

MOST_LOADED: Final = 8
"""Models in memory; beyond it the one goes that was asked longest ago, and is loaded again when
somebody asks: whoever asks for many in turn takes none that is in use."""

Answer = CloudReply | HubFault
"""What one row gets: its answer, or why it has none."""


class _ServedModel(NamedTuple):
    """A release in memory, and the inputs that it takes."""

    model: Model
    schema: InputSchema


class LoadedReleases:
    """Answers of releases, which stay in memory."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, _ServedModel] = OrderedDict()

    def answers(self, release: Release, rows: Any, asking: Manifest) -> Feed:
        """Return a release's outputs, named and ordered as the asking release has them.

        Args:
            release: that answers.
            rows: [N, columns], in the order of its manifest.
            asking: manifest of the release that the answers are for.

        Returns:
            Arrays [N, ...] by output name, classes in the order of ``asking``.

        Raises:
            Invalid: the rows do not fit, the model fails on them, or the two models have different
                classes.
        """
        try:
            feed = self.load(release).schema.batch(rows)
        except InputError as error:
            raise Invalid(f"row: {error}") from error
        return self._run(release, feed, asking)

    def _run(self, release: Release, feed: Feed, asking: Manifest) -> Feed:
        """Return the outputs of a run as the asking release has them; raises Invalid."""
        try:
            outputs = self.load(release).model.run(feed)
        except ReleaseError as error:
            # The model's fault, or the row's: the device goes on with its own answer either way.
            name = f"{release.manifest.model} {release.manifest.version}"
            raise Invalid(f"row: {name} cannot answer it; {error}"[:300]) from error
        theirs, ours = release.manifest.signature, asking.signature
        answers: Feed = {}
        # By role and not by name: two models name their outputs as they like.
        roles: tuple[Role, ...] = ("probabilities", "value")
        for role in roles:
            source, place = theirs.output(role), ours.output(role)
            if source and place:
                answers[place.name] = outputs[source.name]
        probabilities = ours.output("probabilities")
        if probabilities and probabilities.name in answers:
            order = _class_order(release.manifest, asking)
            answers[probabilities.name] = answers[probabilities.name][:, order]
        return answers

    def has(self, release: Release) -> bool:
        """Return whether a release is in memory."""
        return release.digest in self._loaded

    def load(self, release: Release) -> _ServedModel:
        """Return a release as it is in memory, after this at the latest."""
        # By digest: a version that is promoted again is the model that is loaded already.
        loaded = self._loaded.get(release.digest)
        if loaded is None:
            from edge_sdk.model.session import Model  # brings the runtime

            missing = release.manifest.training.get("missing") == "allowed"
            schema = InputSchema(release.manifest.signature, missing=missing)
            loaded = self._loaded[release.digest] = _ServedModel(Model.load(release), schema)
            for digest in list(self._loaded)[:-MOST_LOADED]:
                self._loaded.pop(digest, None)
        with contextlib.suppress(KeyError):  # another thread has just loaded eight others
            self._loaded.move_to_end(release.digest)
        return loaded


class InferenceService(LoadedReleases):
    """Answers rows with the cloud line of a model; loaded releases stay in memory.

    Args:
        registry: versions and policies.
        plans: what serves.
    """

    def __init__(self, registry: Registry, plans: Plans) -> None:
        super().__init__()
        self._lines = CloudLines(registry, plans)

    def predict(self, request: CloudRequest) -> CloudReply:
        """Answer one row for a device.

        Args:
            request: the row, the model, and the version of it that the device runs.

        Raises:
            NotFound: the model has no cloud line, or the version is unknown.
            Invalid: the row does not fit.
        """
        (answer,) = self.predict_together([request])
        if isinstance(answer, HubFault):
            raise answer
        return answer

    def predict_together(self, requests: Sequence[CloudRequest]) -> list[Answer]:
        """Answer rows for devices of one model by as few runs as their versions allow.

        Args:
            requests: of one model.

        Returns:
            An answer for each, in order; a refusal takes nothing from the others.
        """
        answers: dict[int, Answer] = {}
        versions: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            versions.setdefault(request.version, []).append(place)
        for places in versions.values():
            try:
                found = self._of_one_version([requests[place] for place in places])
            except HubFault as error:
                found = [error] * len(places)
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(requests))]

    def is_at_hand(self, requests: Sequence[CloudRequest]) -> bool:
        """Return whether rows can be answered from memory: no database, no file, no loading."""
        for model in {request.model for request in requests}:
            release = self._lines.recent(model)
            if release is None or release.digest not in self._loaded:
                return False
        return all(self._lines.known(r.model, r.version) is not None for r in requests)

    def cloud_release(self, model: str) -> Release | None:
        """Return the release of the cloud line that serves ``model``, if there is one."""
        return self._lines.serving(model)

    def _of_one_version(self, requests: Sequence[CloudRequest]) -> list[Answer]:
        """Answer rows for devices that run the same version; raises HubFault for all of them."""
        release = self._lines.line(requests[0].model)
        asking = self._lines.asking(requests[0].model, requests[0].version)
        schema = self.load(release).schema
        answers: list[Answer | None] = [None] * len(requests)
        feeds: dict[int, Feed] = {}
        for place, request in enumerate(requests):
            try:
                feeds[place] = schema.batch([list(request.row)])
            except InputError as error:
                answers[place] = Invalid(f"row: {error}")
        found = self._together(release, [*feeds.values()], asking)
        for place, answer in zip(feeds, found, strict=True):
            answers[place] = answer
        return [answer for answer in answers if answer is not None]

    def _together(self, release: Release, feeds: list[Feed], asking: Manifest) -> list[Answer]:
        """Answer checked rows by one run; where that fails, each by one of its own."""
        signature = release.manifest.signature
        if len(feeds) == 1 or (feeds and rows_come_first(signature)):
            try:
                outputs = self._run(release, joined(feeds), asking)
                return _replies(outputs, len(feeds), asking, release.manifest.version)
            except Invalid as error:
                if len(feeds) == 1:
                    return [error]
        # One row may be what the model fails on: only that one is refused.
        return [answer for feed in feeds for answer in self._together(release, [feed], asking)]


def rows_come_first(signature: Signature) -> bool:
    """Return whether the first axis of every tensor counts the rows, so that they can be joined."""
    axes = {spec.batch for spec in signature.inputs} | {spec.batch for spec in signature.outputs}
    return signature.batched and axes == {0}


def joined(feeds: list[Feed]) -> Feed:
    """Return rows, each a batch of one, as one batch; a tensor's first axis counts the rows."""
    if len(feeds) == 1:
        return feeds[0]
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def _class_order(theirs: Manifest, ours: Manifest) -> NDArray[np.int64]:
    """Return the position among their classes of each of ours; raises Invalid."""
    positions = {label: i for i, label in enumerate(theirs.signature.classes)}
    if set(positions) != set(ours.signature.classes):
        raise Invalid(
            f"{theirs.model} {theirs.version}: has other classes than {ours.model} {ours.version}"
        )
    return np.array([positions[label] for label in ours.signature.classes], dtype=np.int64)


def _replies(answers: Feed, count: int, asking: Manifest, version: str) -> list[Answer]:
    """Return the reply to each of ``count`` rows; raises Invalid where the model has none."""
    signature = asking.signature
    probabilities, value = signature.output("probabilities"), signature.output("value")
    if probabilities and probabilities.name in answers:
        scores = answers[probabilities.name]
        labels = scores.argmax(axis=1).tolist()
        return [
            CloudReply(version, signature.classes[label], tuple(row))
            for label, row in zip(labels, scores.astype(np.float64).tolist(), strict=True)
        ]
    if value and value.name in answers:
        values = answers[value.name].reshape(count, -1)[:, 0]
        return [CloudReply(version, value=float(each)) for each in values]
    raise Invalid(f"{asking.model}: has neither probabilities nor a value")
