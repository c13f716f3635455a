"""The hub: registry, fleet, plans, telemetry, triggers, runs, experiments, packs.

Its modules log below ``cloud_hub``. Nothing is printed unless the program that uses them configures
logging, as ``edge-hub serve`` does.
"""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())
