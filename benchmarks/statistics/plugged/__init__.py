"""Detectors and deciders on the same streams: ours, the usual rules, peers, and yours.

Two protocols, of one function each:

* ``detect(reference, windows) -> alarms``: values of training ``[rows]`` (labels: 1 for an error),
  and those of windows in order of time ``[windows, devices, rows]``; an alarm or none for each
  window, ``[windows]`` of booleans. A window may only be judged by what came until its end.
* ``decide(control, candidate) -> verdicts``: two arms at every look, each a
  :class:`~cloud_hub.statistics.clustered.Sample` ``[looks, devices]`` of sums so far, with zeros
  for devices that are on the other arm; 1 (candidate better), -1 (worse) or 0 for each look.

``python -m benchmarks.statistics --only change-detectors --plug my_module:detect`` sets a function
beside the others; ``--only deciders --plug my_module:decide`` one that decides.
"""
