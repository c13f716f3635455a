"""Aliases, tags and descriptions, changed from the pages of a model and of a version."""

from __future__ import annotations

from typing import Final, Literal

from fastapi import Request, Response

from cloud_hub.aliases.service import DESCRIPTION, VALUE
from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.pages.models.home import address
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import done, page_router

router = page_router()
What = Literal["alias", "unalias", "tag", "untag", "describe"]

SAID: Final = {
    "alias": "{of} has the alias {name}.",
    "unalias": "The alias {name} is taken away.",
    "tag": "{of} has the tag {name}.",
    "untag": "The tag {name} is taken away.",
    "describe": "The description is saved.",
}


@router.post("/models/{model}/names/{what}")
def change(request: Request, user: Viewer, form: Posted, model: KnownModel, what: What) -> Response:
    """Give or take away what a version or the model is called."""
    user.require("operator", model)
    aliases, of = hub_of(request).aliases, form.get("version", "").strip() or None
    name = "" if what == "describe" else form.text("name", 100)
    value = form.get("value", "").strip()
    if what == "alias":
        aliases.set_alias(model, name, of or "", actor=user.name)
    elif what == "unalias":
        aliases.remove_alias(model, name, actor=user.name)
    elif what == "tag":
        aliases.set_tag(model, name, value[: VALUE + 1], word=of, actor=user.name)
    elif what == "untag":
        aliases.remove_tag(model, name, word=of, actor=user.name)
    else:
        aliases.describe(model, value[: DESCRIPTION + 1], word=of, actor=user.name)
    back = address(model, "versions", of) if of else address(model)
    return done(back, SAID[what].format(of=of or model, name=name))
