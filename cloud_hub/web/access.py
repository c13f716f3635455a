"""Who looks at a page, and the forms that they send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from cloud_hub.api.auth import csrf_token, current_person, requires
from cloud_hub.api.posted_form import posted_form
from cloud_hub.api.roles import Person, Role
from cloud_hub.errors import Forbidden, Invalid, NotFound, Unauthenticated


@dataclass(frozen=True)
class PageUser:
    """Somebody who is signed in; ``csrf`` is the token that each form of theirs carries."""

    person: Person
    csrf: str

    @property
    def name(self) -> str:
        """Their name, as the audit notes it."""
        return self.person.name

    @property
    def role(self) -> str:
        """Their role, as a word."""
        return self.person.role.word

    def sees(self, model: str | None) -> bool:
        """Return whether a model is among theirs."""
        return self.person.sees(model)

    def may(self, role: str, model: str | None = None) -> bool:
        """Return whether they may do what takes a role, for one model or for all of theirs."""
        return self.person.may(Role.of(role), model)

    def require_anywhere(self, role: str) -> None:
        """Raise Forbidden unless they have a role, be it on some models only."""
        if not self.may(role):
            raise Forbidden(f"needs the role {role}, and {self.name} is {self.role}")

    def require(self, role: str, model: str | None = None) -> None:
        """Raise Forbidden unless they may do what takes a role.

        Args:
            role: as a word.
            model: that it is about; ``None`` for what is about all models: somebody with rights on
                some may not.
        """
        if not self.may(role, model) or (model is None and self.person.models is not None):
            what = f" on {model}" if model else " on all models"
            raise Forbidden(f"needs the role {role}{what}, and {self.name} is {self.role}")


class FormFields(dict[str, str]):
    """The fields of a form."""

    def text(self, name: str, longest: int = 500) -> str:
        """Return a field without the blanks around it; raises Invalid where it is empty.

        Args:
            name: of the field.
            longest: most characters.
        """
        value = self.get(name, "").strip()
        if not value:
            raise Invalid(f"{name}: expected a text, got none")
        if len(value) > longest:
            raise Invalid(f"{name}: expected at most {longest} characters, got {len(value)}")
        return value


async def form_fields(request: Request) -> FormFields:
    """Return the form that a request carries; raises Invalid where no database would take it."""
    fields = await posted_form(request)
    if any("\0" in text for pair in fields.items() for text in pair):
        raise Invalid("form: expected text without NUL")
    return FormFields(fields)


def page_user_of(request: Request) -> PageUser | None:
    """Return who is signed in; ``None`` for nobody."""
    person = current_person(request)
    return None if person is None else PageUser(person, csrf_token(request))


def _viewer(
    request: Request, name: Annotated[str, Depends(requires(Role.VIEWER, filtered=True))]
) -> PageUser:
    user = page_user_of(request)
    if user is None:  # the session has ended between the two questions
        raise Unauthenticated("session: is over; sign in again", guess=False)
    return user


def see_or_refuse(user: PageUser, model: str) -> None:
    """Raise NotFound where somebody has no right on a model, as if there were none."""
    if not user.sees(model):
        raise NotFound(f"{model:.80}: no such model among those of {user.name}")


Viewer = Annotated[PageUser, Depends(_viewer)]
"""In a route's signature: whoever is signed in. What a form changes has had its token checked."""

Posted = Annotated[FormFields, Depends(form_fields)]
"""In a route's signature: the fields of a form; after :data:`Viewer`, who sent it."""
