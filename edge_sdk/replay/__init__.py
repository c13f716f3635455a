"""The past, answered again with its own clock: a month of windows in a minute."""
