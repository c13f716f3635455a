"""One model on a device: its plan, its releases and packs, and what runs beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_sdk.fleet.model_calls import ModelCalls
from edge_sdk.system.logs import Log

if TYPE_CHECKING:  # some bring requests and tuf
    from edge_sdk.fleet.active_releases import ActiveReleases
    from edge_sdk.fleet.following import Following
    from edge_sdk.fleet.model_link import ModelLink
    from edge_sdk.fleet.rollout import RolloutController
    from edge_sdk.update.slots import Slot

_log = Log(__name__)


class DeviceModel(ModelCalls):
    """One of a device's models; :meth:`edge_sdk.EdgeDevice.model` returns it.

    Its plan, updates and experiments are its own. Identity, check-in, poll and outbox are the
    device's.

    Attributes:
        name: of the model.

    Args:
        name: of the model.
        service: its releases that answer.
    """

    _link: ModelLink | None = None
    _rollout: RolloutController | None = None

    def __init__(self, name: str, service: ActiveReleases) -> None:
        super().__init__(service)
        self.name = name
        self._served = False

    @property
    def following(self) -> Following:
        """Return what is done here as the model's plan is followed."""
        from edge_sdk.fleet.following import Following

        return Following(self._activate, self._follow_plan, self._service.use_entities)

    def follow(self, link: ModelLink, rollout: RolloutController) -> None:
        """Follow the model's plan from now on, and serve what the last run left.

        Args:
            link: of the model with the hub.
            rollout: keeps what answers in step with the plan.
        """
        self._link, self._rollout = link, rollout
        rollout.start()

    @property
    def serves(self) -> bool:
        """Return whether a release answers."""
        return self._service.serving is not None

    def status(self) -> dict[str, Any]:
        """Return the state of this model here as plain values, ready for JSON."""
        from edge_sdk.fleet.status_words import of_model  # not needed at start

        status = {**self._service.status(), "name": self.name}
        if self._link is not None:
            status |= self._link.status()
        if self._rollout is not None:
            status["prior_trouble"] = self._rollout.prior_trouble
        return {"words": of_model(status), **status}

    def conditions(self) -> dict[str, str]:
        """Return why what this model has here is worse than it should be, by what that is."""
        now = {}
        self._served = self._served or self.serves
        if self._served and not self.serves:
            now["serving"] = f"nothing of {self.name} serves"
        if damage := self._service.damage():
            files = "; ".join(what for each in damage.values() for what in each.values())
            now["files"] = f"damaged on the disk, of {self.name}: {files}"
        if self._rollout is not None and (trouble := self._rollout.prior_trouble):
            now["prior"] = f"{self.name} serves without its personal prior: {trouble}"
        if (personal := self._service.personal) is not None and (why := personal.trouble):
            now["units"] = why
        return now

    def spare(self, *, power: bool) -> None:
        """Let what runs beside what serves wait, while ``power`` is to be spared."""
        if (running := self._service.running) is not None:
            running.pause(paused=power)

    def fold(self) -> None:
        """Run one round of the telemetry thread for this model."""
        self._service.note_use()
        self._service.collect()
        self._service.check_files()
        if (personal := self._service.personal) is not None:
            personal.fold()
        if self._rollout is not None:
            self._rollout.watch()
        else:
            for _, what in self._service.new_damage():
                _log.warning("damaged on the disk: %s", what)

    def made(self, prediction: str) -> bool:
        """Return whether this model made the prediction or ranking of this id, in this process."""
        return self._service.maker_of(prediction) is not None

    def explain_absence(self, reason: str) -> None:
        """Name the reason why nothing serves, for the error that predictions then raise."""
        self._service.explain_absence(reason)

    def collect(self, *, final: bool) -> None:
        """Keep the messages of windows that ended; with ``final``, of all, which end now."""
        self._service.collect(final=final)

    def end(self) -> None:
        """End on purpose: the rest of the windows is kept, and nothing answers any more."""
        self._service.close()
        if self._rollout is not None:
            self._rollout.close()

    def leave(self) -> None:
        """Note that an opening that failed ends on purpose."""
        if self._rollout is not None:
            self._rollout.close()

    def __str__(self) -> str:
        return f"{self.name} {self._service.status()['version'] or 'without a release'}"

    def __repr__(self) -> str:
        return f"<DeviceModel {self}>"

    def _activate(self, slot: Slot) -> None:
        assert self._rollout is not None
        self._rollout.activate(slot)

    def _follow_plan(self) -> None:
        if self._rollout is not None:
            self._rollout.renew()
