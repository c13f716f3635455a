"""Answers of a model's cloud line, through the device's own runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.plans.service import Plans
from cloud_hub.registry.service import Registry
from edge_sdk.contract.fleet import CloudReply, CloudRequest
from edge_sdk.contract.manifest import Manifest, Role
from edge_sdk.errors import InputError, ReleaseError
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model


class InferenceService:
    """Answers rows with the cloud line of a model; loaded releases stay in memory."""

    def __init__(self, registry: Registry, plans: Plans) -> None:
        self._registry = registry
        self._plans = plans
        self._loaded: dict[str, tuple[Release, Model, InputSchema]] = {}

    def predict(self, request: CloudRequest) -> CloudReply:
        """Answer one row for a device.

        Args:
            request: the row, the model, and the version of it that the device runs.

        Raises:
            NotFound: the model has no cloud line, or the version is unknown.
            Invalid: the row does not fit.
        """
        model = request.model
        cloud = self.cloud_release(model)
        if cloud is None:
            raise NotFound(f"{model}: its policy names no cloud model that serves")
        asking = self._registry.release(model, request.version).manifest
        answers = self.answers(cloud, [list(request.row)], asking)
        return _reply(answers, asking, cloud.manifest.version)

    def cloud_release(self, model: str) -> Release | None:
        """Return the release of the cloud line that serves ``model``, if there is one."""
        cloud = self._registry.policy(model).cloud
        plan = self._plans.current(cloud) if cloud else None
        if cloud is None or plan is None:
            return None
        return self._registry.release(cloud, plan.serving.version)

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
        _, model, schema = self._load(release)
        try:
            outputs = model.run(schema.batch(rows))
        except InputError as error:
            raise Invalid(f"row: {error}") from error
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

    def _load(self, release: Release) -> tuple[Release, Model, InputSchema]:
        # By digest: a version that is promoted again is the model that is loaded already.
        loaded = self._loaded.get(release.digest)
        if loaded is None:
            missing = release.manifest.training.get("missing") == "allowed"
            schema = InputSchema(release.manifest.signature, missing=missing)
            loaded = self._loaded[release.digest] = (release, Model.load(release), schema)
        return loaded


def _class_order(theirs: Manifest, ours: Manifest) -> NDArray[np.int64]:
    """Return the position among their classes of each of ours; raises Invalid."""
    positions = {label: i for i, label in enumerate(theirs.signature.classes)}
    if set(positions) != set(ours.signature.classes):
        raise Invalid(
            f"{theirs.model} {theirs.version}: has other classes than {ours.model} {ours.version}"
        )
    return np.array([positions[label] for label in ours.signature.classes], dtype=np.int64)


def _reply(answers: Feed, asking: Manifest, version: str) -> CloudReply:
    probabilities, value = (
        asking.signature.output("probabilities"),
        asking.signature.output("value"),
    )
    if probabilities and probabilities.name in answers:
        scores = answers[probabilities.name][0]
        label = asking.signature.classes[int(scores.argmax())]
        return CloudReply(version, label, tuple(float(p) for p in scores))
    if value and value.name in answers:
        return CloudReply(version, value=float(answers[value.name].ravel()[0]))
    raise Invalid(f"{asking.model}: has neither probabilities nor a value")
