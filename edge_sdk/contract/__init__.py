"""The wire: every message and file that device, converters and hub exchange.

Standard library only, no I/O. Each module defines frozen dataclasses that parse themselves
strictly (:mod:`~edge_sdk.contract.codec`); ``version`` says how a format may change.
"""
