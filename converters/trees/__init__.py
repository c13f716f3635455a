"""Tree ensembles in one exact form of our own, whatever library grew them.

``recognise`` finds the trees of a fitted model and the link that makes answers of their sums;
``emit`` writes them for onnxruntime. Between the two stands :class:`~converters.trees.ensemble.
Ensemble`: arrays that one can read, shrink, probe and evaluate without any library.
"""
