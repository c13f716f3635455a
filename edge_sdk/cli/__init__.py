"""The ``edge`` command. Stays on argparse, so that it starts quickly on a small device."""
