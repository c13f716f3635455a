"""Searching a fleet: words of a name, attributes, and what a device runs. Pure.

``region=eu health:lost model:digits kiosk`` finds the lost devices of ``digits`` in ``eu`` whose
name or serial number has ``kiosk`` in it; a value with blanks stands between double quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import Invalid

if TYPE_CHECKING:
    from cloud_hub.database.records import DeviceRecord

FIELDS: Final = ("model", "version", "health", "standing", "enrolled_by")
LONGEST: Final = 500
MOST_TERMS: Final = 20
_TERM: Final = re.compile(r'(?:[^\s"]|"[^"]*")+')


@dataclass(frozen=True)
class FleetSearch:
    """The terms of a search; a device that meets them all is found.

    Attributes:
        words: parts of its name or serial number.
        attributes: (name, value).
        fields: (one of :data:`FIELDS`, value).
    """

    words: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def model(self) -> str | None:
        """The model that is asked for, if one is."""
        return next((value for name, value in self.fields if name == "model"), None)

    def finds(self, record: DeviceRecord, health: str) -> bool:
        """Return whether a device meets every term."""
        text = f"{record.device} {record.serial or ''}".casefold()
        return (
            all(word in text for word in self.words)
            and all(record.attributes.get(name) == value for name, value in self.attributes)
            and all(_field(record, health, name) == value for name, value in self.fields)
        )


def parse_search(text: str) -> FleetSearch:
    """Read a search.

    Raises:
        Invalid: it is too long, or names a field that devices do not have.
    """
    terms = _TERM.findall(text)
    if len(text) > LONGEST or len(terms) > MOST_TERMS:
        raise Invalid(f"search: expected at most {LONGEST} characters and {MOST_TERMS} terms")
    words, attributes, fields = [], [], []
    for term in terms:
        plain = term.replace('"', "")
        name, equals, value = plain.partition("=")
        field, colon, wanted = plain.partition(":")
        if equals and name:
            attributes.append((name, value))
        elif colon and field in FIELDS:
            fields.append((field, wanted))
        else:
            words.append(plain.casefold())
    return FleetSearch(tuple(words), tuple(attributes), tuple(fields))


def quoted(value: str) -> str:
    """Return a value as a search has it."""
    plain = value.replace('"', "")
    return f'"{plain}"' if re.search(r"\s", plain) or not plain else plain


def _field(record: DeviceRecord, health: str, name: str) -> str | None:
    if name == "health":
        return health
    value: str | None = getattr(record, name)
    return value
