"""A small fleet operated from its first device to its retrained model: once by pages alone, once by
commands alone. ``make operate`` keeps what every step said; the suite runs the commands.
"""
