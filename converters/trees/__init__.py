"""Tree ensembles in one exact representation of our own, whatever library trained them.

:mod:`~converters.trees.readers` reads the trees of a fitted model, and the link that turns their
sums into answers; :mod:`~converters.trees.classic` and :mod:`~converters.trees.compact` write them
for onnxruntime. Between the two stands :class:`~converters.trees.ensemble.Ensemble`: arrays that
one can read, shrink, probe and evaluate without any library.
"""
