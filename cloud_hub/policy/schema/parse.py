"""Reads a policy, writes one whole, and lists the changes from one to another. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloud_hub.database.documents import Document
from cloud_hub.policy.schema.sections import Policy
from cloud_hub.text.durations import compact_duration
from cloud_hub.text.yaml import SECONDS, read_yaml, write_yaml

SHOWN: Final = 2_000
"""Characters of a value that a line of a diff shows."""


def parse_policy(text: str, name: str = "policy.yaml") -> Policy:
    """Read a policy; an empty one is all defaults.

    Raises:
        Invalid: not YAML, an unknown key, a value that is refused, or rules that contradict each
            other; the message has a line for each mistake, with the line of the file.
    """
    return read_yaml(Policy, text, name)


@dataclass(frozen=True)
class Change:
    """One difference: ``before`` or ``after`` is ``None`` where there was or will be nothing."""

    path: str
    before: Any
    after: Any

    @property
    def texts(self) -> tuple[str | None, str | None]:
        """Before and after on one line of YAML each."""
        pair = (self.before, self.after)
        before, after = (None if value is None else _text(value) for value in pair)
        return before, after

    def line(self) -> str:
        """Return the change as a line of a diff."""
        before, after = self.texts
        if before is None:
            return f"+ {self.path}: {after}"
        if after is None:
            return f"- {self.path}: {before}"
        return f"~ {self.path}: {before} -> {after}"


def changes(before: Policy, after: Policy) -> list[Change]:
    """Return the differences, defaults filled in, in order of path.

    Triggers are compared by name, so that their order means nothing.
    """
    return sorted(_differences("", plain(before), plain(after)), key=lambda change: change.path)


def plain(policy: Policy) -> Document:
    """Return a policy as one would write it, with every default, without keys that are not set."""
    written: Document = _written(asdict(policy))
    return written


def as_yaml(policy: Policy) -> str:
    """Return the whole policy as YAML that :func:`parse_policy` reads."""
    return write_yaml(plain(policy), sort_keys=False, width=100)


def _written(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name.removesuffix(SECONDS): compact_duration(item)
            if name.endswith(SECONDS)
            else _written(item)
            for name, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        return [_written(item) for item in value]
    return value


def _differences(path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    old, new = _children(path, before), _children(path, after)
    if old is None or new is None:
        yield Change(path, before, after)
        return
    for name in {**old, **new}:
        yield from _differences(name, old.get(name), new.get(name))


def _children(path: str, value: Any) -> Document | None:
    """The values inside a value, by path; entries of a list that have a name go by it."""
    if isinstance(value, Mapping):
        return {f"{path}.{name}" if path else name: item for name, item in value.items()}
    if isinstance(value, list) and all(_named(item) for item in value):
        return {f"{path}[{item['name']}]": item for item in value}
    return None


def _named(item: Any) -> bool:
    return isinstance(item, Mapping) and "name" in item


def _text(value: Any) -> str:
    text = write_yaml(value, default_flow_style=True, width=1 << 20).removesuffix("...\n").strip()
    # A calendar is a file of many lines: one sees that it changed, and not all of it.
    return text if len(text) <= SHOWN else f"{text[:80]}… ({len(text):,} characters)"
