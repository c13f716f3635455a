"""Parts that measure the claims of ``benchmarks/statistics/claims.py``, one module a subject.

Every module here with a ``PART`` is part of the campaign, under the module's name.
"""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks.statistics.part import Part


def parts() -> dict[str, Part]:
    """All parts of this folder, by module, in order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name.replace("_", "-"): module.PART for name, module in modules.items()}
