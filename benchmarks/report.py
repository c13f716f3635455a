"""``RESULTS.md``: the table of goals with what was measured, for each model and for packs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from edge_sdk.bench.markdown import claims_table, timings_table
from edge_sdk.bench.result import BenchResult, Findings

ABOUT: Final = """# Benchmark results

Written by `make bench`. Each part is one run; `python -m benchmarks --only PART` measures one anew
and keeps the others; a note says on which machine each was measured. Every candidate of a table
takes its turn in every round, on 512 or more different rows that go round; a figure is the median
over rounds of that percentile, a ratio the median over rounds of the ratio of medians within one
round.

- *EdgeDevice* is what an application calls: `EdgeDevice.offline(...).predict(row)` with its input
  checks, monitoring with its background thread, and a pack open that is asked first (and does not
  know the row, unless the table says hit). After each turn all wait until it has folded.
- *session.run* gets feeds that were made beforehand and gives every output as an array.
- *prebound IOBinding alone* is the limit: `run_with_iobinding` with one thread, every row in a
  bound buffer already, only the outputs that an answer is read from, nothing read from them.
- Monitoring's *processor time* is that of the whole process with monitoring on, less that with
  monitoring off, over bursts that are folded to the end; its *time* that of a loop at full
  speed.
- Import and memory are medians over fresh processes that answer 2,000 rows, beside ones that do so
  with onnxruntime alone; what they import is compiled beforehand, as pip compiles what it installs.
- *networks*: their tensors are watched: some inputs are copied for statistics, within the share of
  the time that is allowed for it.
- A *cold* lookup follows after the file was closed and its pages were dropped with
  `posix_fadvise(DONTNEED)`; how often the disk was then read is given with it.
- *large*: each network is converted in a process of its own, with default options; the processor
  time of all its threads is what the conversion takes at most where nothing else runs, and its peak
  memory is VmHWM: Python, its packages and the rows included.
- *Batch* jobs take turns with their peers, a few parts each: onnxruntime alone on the
  same batches, whose feeds lie in memory and whose answers nobody keeps; `executemany` of the same
  rows into the same table. *Processor time* beside it depends less on the machine's other work.
  Look-ups are counted by the processor time of the hub's process, which is what one core gives.
- *ways*: the larger MLP answers in the cloud, the smaller one on the device; the hub is a process
  of its own, over HTTP on this machine. An answer a second of one core is per second of the
  processor: of the device's process where it answers, else of the hub's.
- *many-models*: ten bare processes live at once, one device alone. *Proportional* memory counts a
  page that processes share once in all of them.
- The *hub* runs in the benchmark's process, without HTTP, on SQLite; its devices are simulated, who
  is on which arm is decided by the plan.

`results.json` holds the figures; `edge bench --compare OLD NEW` compares two such files."""


def to_markdown(parts: Mapping[str, Findings], whole: BenchResult, picture: str) -> str:
    """Return the report.

    Args:
        parts: findings by name.
        whole: their sum, with all claims.
        picture: name of a picture in the same folder.
    """
    text = [ABOUT, "## In short", _missed(whole)]
    for name, part in parts.items():
        text += list(_part(name, part))
    text.append(f"`{picture}`, written beside this page, shows the latencies of all groups.")
    return "\n\n".join(text) + "\n"


def _missed(whole: BenchResult) -> str:
    judged = [claim for claim in whole.findings.claims if claim.met is not None]
    missed = [claim for claim in judged if not claim.met]
    count = f"{len(judged) - len(missed)} of {len(judged)} goals are met."
    if not missed:
        return count
    return f"{count} Not met:\n\n{claims_table(missed)}"


def _part(name: str, findings: Findings) -> Iterator[str]:
    yield f"## {name}"
    yield claims_table(findings.claims)
    if findings.timings:
        yield timings_table(findings.timings)
    if findings.facts:
        yield "\n".join(f"- {what}: {value:,.6g}" for what, value in findings.facts.items())
    if findings.notes:
        yield "\n".join(f"- Note: {note}" for note in findings.notes)
