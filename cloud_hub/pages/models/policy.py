"""The policy of a model: the one in force, another one written, its changes seen, and applied.

The text is kept as somebody wrote it, comments and all. What is applied is compared with what they
looked at: where somebody else applied another policy meanwhile, nothing is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.errors import Invalid
from cloud_hub.pages.models.home import address, render
from cloud_hub.policy.schema.parse import as_yaml, parse_policy
from cloud_hub.policy.service import digest
from cloud_hub.web.access import FormFields, Posted, Viewer
from cloud_hub.web.frame import done, page_router

if TYPE_CHECKING:
    from cloud_hub.hub import Hub
    from cloud_hub.web.access import PageUser

router = page_router()

LONGEST: Final = 40_000
"""Characters of a policy that a form takes; a longer one, with a calendar, say, is a file's."""

PAST: Final = 10
REASON: Final = 500


@router.get("/models/{model}/policy")
def show(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Show the policy in force, and who applied it and those before."""
    hub = hub_of(request)
    text = hub.policies.text(model)
    past = hub.audit.entries(model, PAST, action="policy")[::-1]
    return render(
        request, user, "policy.html", model=model, tab="policy", title="Policy", text=text,
        whole=as_yaml(parse_policy(text)), past=past, editable=len(text) <= LONGEST,
    )  # fmt: skip


@router.get("/models/{model}/policy/edit")
def edit(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Show the policy in force in a form."""
    user.require("publisher", model)
    text = hub_of(request).policies.text(model)
    return _form(request, user, model, text or f"model: {model}\n", digest(text))


@router.post("/models/{model}/policy/edit")
def edit_on(request: Request, user: Viewer, form: Posted, model: KnownModel) -> Response:
    """Show the form again, with what somebody wrote."""
    user.require("publisher", model)
    return _form(request, user, model, _text(form), form.text("expected", 64))


@router.post("/models/{model}/policy/changes")
def changes(request: Request, user: Viewer, form: Posted, model: KnownModel) -> Response:
    """Show what a policy would change; what is wrong with it, with the line, where it is none."""
    user.require("publisher", model)
    hub, text, expected = hub_of(request), _text(form), form.text("expected", 64)
    try:
        hub.approvals.check_policy(model, text, user.person)
        plan = hub.policies.plan(model, text)
    except Invalid as error:
        return _form(request, user, model, text, expected, problem=str(error))
    return render(
        request, user, "policy_changes.html", model=model, tab="policy", title="Change the policy?",
        plan=plan, text=text, expected=expected, same=hub.policies.text(model) == text,
        outdated=plan.digest != expected, longest=REASON,
    )  # fmt: skip


@router.post("/models/{model}/policy")
def apply(request: Request, user: Viewer, form: Posted, model: KnownModel) -> Response:
    """Put a policy in force."""
    user.require("publisher", model)
    hub, text = hub_of(request), _text(form)
    override = form.get("override", "").strip()[:REASON] or None
    hub.approvals.check_policy(model, text, user.person)
    plan = hub.policies.apply(
        model, text, actor=user.name, expected=form.text("expected", 64), override=override
    )
    return done(address(model, "policy"), f"The policy of {model} is in force{_sent(hub, plan)}.")


def _sent(hub: Hub, plan: Any) -> str:
    current = hub.plans.current(plan.model)
    goes_out = plan.replan and current is not None
    return f"; plan {current.serial} goes out to devices" if goes_out and current else ""


def _text(form: FormFields) -> str:
    """Return the text of a form, with the line ends of a file; raises Invalid."""
    # A browser sends each line of a field with CR LF.
    text = form.get("policy", "").replace("\r\n", "\n").rstrip()
    if len(text) > LONGEST:
        raise Invalid(
            f"policy: expected at most {LONGEST:,} characters in a form, got {len(text):,}; apply "
            "the file: edge-hub policy apply FILE"
        )
    return f"{text}\n" if text else ""


def _form(
    request: Request, user: PageUser, model: str, text: str, expected: str, problem: str = ""
) -> Response:
    response = render(
        request, user, "policy_edit.html", model=model, tab="policy", title="Edit the policy",
        text=text, expected=expected, problems=problem.splitlines(), longest=LONGEST,
        rows=min(max(text.count("\n") + 4, 16), 40),
    )  # fmt: skip
    response.status_code = 422 if problem else 200
    return response
