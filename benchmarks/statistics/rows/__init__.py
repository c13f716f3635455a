"""Parts that measure the claims of ``benchmarks/statistics/claims.py``, one module a subject."""
