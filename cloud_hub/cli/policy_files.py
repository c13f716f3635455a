"""Files that a policy names, which travel in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

MOST: Final = 400_000
"""Bytes of a calendar that are read, more than one may have."""


def with_calendars(text: str, file: Path) -> str:
    """Return a policy with the iCalendar files that it names written into it, as ``ics``.

    So a policy is one text, with one digest, whatever becomes of the files beside it. Lines stay
    where they are.

    Args:
        text: the policy.
        file: that it was read from; calendars are found beside it.

    Raises:
        Invalid: a calendar cannot be read.
    """
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return text  # whoever reads it next says what is wrong, and where
    days = _entry(_entry(root, "calendar"), "days")
    named = [
        (key, value)
        for day in (days.value if isinstance(days, yaml.SequenceNode) else [])
        if isinstance(day, yaml.MappingNode)
        for key, value in day.value
        if key.value == "file" and isinstance(value, yaml.ScalarNode) and value.value
    ]
    for key, value in reversed(named):  # from the end: what comes before keeps its place
        content = _content(file, value.value, value.start_mark.line + 1)
        begin, end = key.start_mark.index, value.end_mark.index
        text = f"{text[:begin]}ics: {content}{text[end:]}"
    return text


def _entry(node: Any, name: str) -> Any:
    import yaml

    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def _content(policy: Path, name: str, line: int) -> str:
    """An iCalendar file as a quoted text of YAML, in one line."""
    from cloud_hub.errors import Invalid
    from cloud_hub.text.yaml import text_of, write_yaml

    path = policy.parent / name
    try:
        with path.open("rb") as file:
            raw = file.read(MOST + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise Invalid(
            f"{policy}:{line}: file: expected an iCalendar file beside the policy; {error}"
        ) from error
    if len(raw) > MOST:
        raise Invalid(f"{policy}:{line}: file: expected at most {MOST:,} bytes in {path}")
    return write_yaml(text_of(raw, str(path)), default_style='"', width=1 << 30).strip()
