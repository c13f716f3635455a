"""Roles of people, and who asks: pure, for routes, pages and the services of people alike.

Roles stand in one line, so that each includes those before it. What a person may do is the least of
what they have and of what the token has by which they ask.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from cloud_hub.errors import Invalid


class Role(enum.IntEnum):
    """A role; the greater ones include the smaller ones."""

    # Values begin above 0: each role is true, and its words, not its numbers, are stored.
    CALLER = 1
    """Asks models for answers, and reads nothing else: for applications that are no devices."""

    VIEWER = 2
    """Reads everything but secrets."""

    OPERATOR = 3
    """Rolls out and back, runs experiments, acknowledges, approves and stops devices."""

    PUBLISHER = 4
    """Publishes versions, changes policies, data sets and features."""

    ADMINISTRATOR = 5
    """Decides who the people are; looks after keys."""

    @property
    def word(self) -> str:
        """The role as files, options and answers have it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Role:
        """Return the role of a word; raises Invalid."""
        try:
            return cls[word.upper()]
        except KeyError:
            raise Invalid(f"role: expected one of {ROLES}, got {word:.40}") from None


ROLES: Final = ", ".join(role.word for role in Role)


@dataclass(frozen=True)
class Person:
    """Who asks, and what they may do at this moment.

    Attributes:
        name: by which the audit names them.
        role: what they may do.
        models: on which; ``None`` for all, those that are yet to come included.
        token: id of the access token by which they ask; ``None`` for a file or a provider.
        until: Unix seconds when what they ask with expires; ``None`` for never.
        is_human: a person whom somebody could ask, and not a service account or a file.
    """

    name: str
    role: Role
    models: frozenset[str] | None = None
    token: str | None = None
    until: float | None = None
    is_human: bool = False

    def sees(self, model: str | None) -> bool:
        """Return whether a model is among theirs; what is of no model belongs to all."""
        return self.models is None or (model is not None and model in self.models)

    def may(self, role: Role, model: str | None = None) -> bool:
        """Return whether they have a role, on a model if one is named."""
        return self.role >= role and (model is None or self.sees(model))


def least(one: Collection[str] | None, other: Collection[str] | None) -> frozenset[str] | None:
    """Return the models that both have; ``None`` stands for all."""
    if one is None or other is None:
        rest = other if one is None else one
        return None if rest is None else frozenset(rest)
    return frozenset(one) & frozenset(other)
