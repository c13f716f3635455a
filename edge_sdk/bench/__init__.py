"""``edge bench``: latency, memory and energy of a model on this machine, against plain onnxruntime.

Invariants:

* The subject is an :class:`~edge_sdk.device.EdgeDevice` as an application uses it: background
  thread running, monitoring on, a pack open. Peers run in the same process and the same rounds.
* Candidates take turns in every round, so that a slow moment of the machine affects all alike. A
  figure is the median over rounds of its percentile; a ratio is the median over rounds of the
  ratio of medians within one round.
* No two calls in a row get the same input: they cycle through
  :data:`~edge_sdk.bench.rows.ROWS` different ones.
* Nothing is estimated: figures that cannot be measured here are left out, with a note.
"""
