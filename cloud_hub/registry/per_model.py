"""The same work for many models, so that the failure of one does not keep the others waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def for_each(names: Iterable[str], work: Callable[[str], object]) -> None:
    """Do ``work`` for each name, even if it fails for others.

    Raises:
        ExceptionGroup: it failed for some, whose names it gives; after all had their turn.
    """
    failed: dict[str, Exception] = {}
    for name in names:
        try:
            work(name)
        except Exception as error:
            failed[name] = error
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise ExceptionGroup(reasons, list(failed.values()))
