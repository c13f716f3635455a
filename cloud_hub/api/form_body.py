"""Forms that a page sends: read once a request, bounded, whoever asks first."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from cloud_hub.api.request_body import raw_body
from cloud_hub.errors import Invalid

FORM_BYTES: Final = 256 << 10
FIELDS: Final = 200


class FormFields(dict[str, str]):
    """The fields of a form; of several with one name the last."""

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


async def form_of(request: Request) -> FormFields:
    """Return the fields of a form, URL-encoded.

    The route and what checks its CSRF token both ask: the body is read by the first of them.

    Raises:
        Invalid: the body is no form.
        HubFault: as :func:`raw_body`.
    """
    known = getattr(request.state, "form", None)
    if known is None:
        raw = await raw_body(request, FORM_BYTES)
        try:
            pairs = parse_qsl(
                raw.decode(), keep_blank_values=True, max_num_fields=FIELDS, errors="strict"
            )
        except ValueError as error:
            raise Invalid("form: expected URL-encoded fields in UTF-8") from error
        if any("\0" in text for pair in pairs for text in pair):
            raise Invalid("form: expected text without NUL")
        known = request.state.form = FormFields(pairs)
    return known
