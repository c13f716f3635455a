"""People of a hub, how they sign in, and what two of them decide: opened together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cloud_hub.people.approvals import Approvals
from cloud_hub.people.oidc.sign_in import OidcSignIn, open_oidc
from cloud_hub.people.service import People

if TYPE_CHECKING:
    from cloud_hub.hub import Hub


class OpenedPeople(NamedTuple):
    """The people of a hub, with what depends on them; ``oidc`` is ``None`` without a provider."""

    people: People
    oidc: OidcSignIn | None
    approvals: Approvals


def open_people(hub: Hub) -> OpenedPeople:
    """Return the people of a hub whose plans and experiments are open.

    Raises:
        HubFault: its settings name a provider that it cannot use.
    """
    people, registry = People(hub.settings, hub.engine, hub.audit), hub.registry
    approvals = Approvals(
        hub.engine, hub.audit, hub.plans, hub.experiments,
        policy_of=lambda model: registry.policy(model).approvals,
    )  # fmt: skip
    return OpenedPeople(people, open_oidc(hub.settings.oidc, hub.engine, people), approvals)
