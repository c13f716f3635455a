"""``edge bench``: what a model costs on the machine at hand, each figure beside its peer's.

Invariants:

* What is measured is what an application uses: an :class:`~edge_sdk.device.EdgeDevice` with its
  background thread, monitoring on, a pack open. Peers run in the same process and the same rounds.
* Candidates take turns in every round, so that a slow moment of the machine hits all alike. A
  figure is the median over rounds of that percentile; a ratio is the median over rounds of the
  ratio of medians within one round.
* No two calls in a row get the same input: :data:`~edge_sdk.bench.rows.ROWS` different ones go
  round.
* Nothing is estimated: what cannot be measured here is left out, and a note says why.
"""
