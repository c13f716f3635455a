"""The same work for many models, so that the trouble of one does not keep the others waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def for_each(names: Iterable[str], work: Callable[[str], object]) -> None:
    """Do ``work`` for each name, whatever comes of the others.

    Raises:
        ExceptionGroup: it failed for some, told by name; after all had their turn.
    """
    failed: dict[str, Exception] = {}
    for name in names:
        try:
            work(name)
        except Exception as error:
            failed[name] = error
    if failed:
        told = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise ExceptionGroup(told, list(failed.values()))
