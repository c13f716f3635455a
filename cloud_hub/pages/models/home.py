"""The templates of this folder, and what its pages have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.errors import Conflict, Invalid
from cloud_hub.web.frame import Pages
from cloud_hub.web.pages import part

if TYPE_CHECKING:
    from cloud_hub.hub import Hub
    from cloud_hub.web.access import FormFields, PageUser

PAGES: Final = Pages("cloud_hub.pages.models")

TABS: Final = (
    ("", "Versions"),
    ("experiments", "Experiments"),
    ("monitoring", "Monitoring"),
    ("triggers", "Triggers"),
    ("runs", "Runs"),
    ("packs", "Packs & cascade"),
    ("cost", "Cost"),
    ("policy", "Policy"),
)
"""Path below a model's, and word, of each of its pages."""


def address(model: str, *rest: object) -> str:
    """Return the address of a page of a model."""
    return "/".join(["/models", part(model), *map(part, rest)])


def render(
    request: Request,
    user: PageUser,
    template: str,
    *,
    model: str,
    tab: str,
    title: str,
    **values: Any,
) -> Response:
    """Return a page of a model.

    Args:
        request: that it answers.
        user: who is signed in.
        template: its file.
        model: name of the model.
        tab: path of one of :data:`TABS`.
        title: of the page, without the model's name.
        **values: more that the template asks for.
    """
    user.require("viewer", model)
    policy = hub_of(request).registry.policy(model)
    return PAGES.render(
        request, user, template, title=f"{title} · {model}", nav="models", model=model, tab=tab,
        heading=title, tabs=TABS, here=address(model), v1=f"/v1/models/{part(model)}",
        strategy=policy.experiment.strategy, may=lambda role: user.may(role, model), **values,
    )  # fmt: skip


def serial_of(form: FormFields) -> int:
    """Return the serial of the plan that a question was counted on; raises Invalid."""
    text = form.text("serial", 20)
    if not text.isdecimal():
        raise Invalid(f"serial: expected the number of a plan, got {text!r}")
    return int(text)


def check_seen(hub: Hub, model: str, serial: int) -> None:
    """Raise Conflict unless the plan that somebody has seen is in force.

    Where a plan is changed :func:`~cloud_hub.plans.service.expecting` says so for certain; this is
    for requests, which change none yet.
    """
    plan = hub.plans.current(model)
    now = plan.serial if plan is not None else 0
    if now != serial:
        raise Conflict(
            f"{model}: the plan changed meanwhile, from serial {serial} to {now}; look at it "
            "again, nothing was done"
        )
