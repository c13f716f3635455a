"""Updates: a state machine whose state is on disk before each step.

``state`` decides (pure), ``trust`` verifies what the hub says, ``slots`` keeps releases and packs
on disk, ``packs`` fetches a pack whole or as a delta, ``updater`` puts them together.
"""
