"""Heavy libraries that most requests do without; each is loaded at its first use.

A hub that has just started needs neither tables nor distributions: loading them takes seconds and
more memory than all the rest of it. The names are the libraries' own, so that a module which uses
them reads as one that imports them::

    from cloud_hub.deferred.libraries import pa, pc

Nothing here may be used while a module is imported: that would load the library there and then.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any, Final

# Two threads that import large libraries at once can see each other's half-made modules: Python
# breaks what would be a deadlock between their locks by handing one out.
_loading: Final = threading.RLock()


class Deferred:
    """A module, or one name of it, that is loaded when it is used.

    Args:
        module: full name of the module.
        name: of what is meant inside of it; without one the module itself.
    """

    def __init__(self, module: str, name: str | None = None) -> None:
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> Any:
        """Load, and return what the library has below ``name``."""
        value = getattr(self._loaded(), name)
        setattr(self, name, value)  # the next time without this call
        return value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Load, and call."""
        return self._loaded()(*args, **kwargs)

    def _loaded(self) -> Any:
        try:
            return self.__dict__["_value"]
        except KeyError:
            pass
        with _loading:
            module = importlib.import_module(self._module)
        value = self._value = module if self._name is None else getattr(module, self._name)
        return value


if TYPE_CHECKING:
    # As types they are the libraries' own.
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv
    import pyarrow.parquet as pq
    import sqlite_utils
    from scipy.optimize import brentq
    from scipy.sparse import csr_matrix
    from scipy.special import (
        bdtr,
        betainc,
        betaincinv,
        betaln,
        gammaln,
        kolmogorov,
        logsumexp,
        ndtr,
        ndtri,
        stdtr,
        stdtrit,
        xlogy,
    )
    from scipy.stats import binom, chi2, hypergeom, norm
    from scipy.stats import t as student
else:
    pa = Deferred("pyarrow")
    pc = Deferred("pyarrow.compute")
    csv = Deferred("pyarrow.csv")
    pq = Deferred("pyarrow.parquet")
    sqlite_utils = Deferred("sqlite_utils")
    brentq = Deferred("scipy.optimize", "brentq")
    csr_matrix = Deferred("scipy.sparse", "csr_matrix")
    bdtr = Deferred("scipy.special", "bdtr")
    betainc = Deferred("scipy.special", "betainc")
    betaincinv = Deferred("scipy.special", "betaincinv")
    betaln = Deferred("scipy.special", "betaln")
    gammaln = Deferred("scipy.special", "gammaln")
    kolmogorov = Deferred("scipy.special", "kolmogorov")
    logsumexp = Deferred("scipy.special", "logsumexp")
    ndtr = Deferred("scipy.special", "ndtr")
    ndtri = Deferred("scipy.special", "ndtri")
    stdtr = Deferred("scipy.special", "stdtr")
    stdtrit = Deferred("scipy.special", "stdtrit")
    xlogy = Deferred("scipy.special", "xlogy")
    binom = Deferred("scipy.stats", "binom")
    chi2 = Deferred("scipy.stats", "chi2")
    hypergeom = Deferred("scipy.stats", "hypergeom")
    norm = Deferred("scipy.stats", "norm")
    student = Deferred("scipy.stats", "t")

__all__ = [
    # a flat list, which type checkers read
    "Deferred",
    "pa",
    "pc",
    "pq",
    "csv",
    "sqlite_utils",
    "bdtr",
    "betainc",
    "betaincinv",
    "betaln",
    "gammaln",
    "kolmogorov",
    "logsumexp",
    "ndtr",
    "ndtri",
    "stdtr",
    "stdtrit",
    "xlogy",
    "binom",
    "chi2",
    "hypergeom",
    "norm",
    "student",
    "brentq",
    "csr_matrix",
]
