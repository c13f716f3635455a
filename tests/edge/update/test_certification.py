"""Which variant serves on which provider: tried on this machine, chosen by rules, noted on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.contract.manifest import Budget
from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Release
from edge_sdk.model.session import Model
from edge_sdk.update import certification
from edge_sdk.update.certification import ENDED, certify
from edge_sdk.update.certifier import Certifier
from edge_sdk.update.choice import VariantChoice, VariantTrial
from edge_sdk.update.slots import CHOICE, Slot, Slots
from edge_sdk.update.state import SlotRef
from tests.edge.builders import make_release, rows, variant_of

HALF = variant_of("half")
CUDA = "CUDAExecutionProvider"
FAST = variant_of("fast", CUDA)
BOTH = RuntimeOptions(providers=(CUDA, CPU))


def here(release: Release, options: RuntimeOptions) -> tuple[Release, ...]:
    return replace(release, providers=options.providers).candidates


def chosen(
    release: Release, options: RuntimeOptions = RuntimeOptions(), **more: Any
) -> VariantChoice:
    more = {"before": None, "note": lambda choice: None, **more}
    return certify(here(release, options), options, {"runtime": "1"}, **more)


def test_a_file_for_the_cpu_is_tried_on_every_provider_and_another_on_its_own(
    tmp_path: Path,
) -> None:
    release = make_release(tmp_path, alternatives=(HALF, FAST))
    pairs = [(each.variant.name, each.provider) for each in here(release, BOTH)]
    assert pairs == [
        ("float32", CUDA), ("float32", CPU), ("half", CUDA), ("half", CPU), ("fast", CUDA),
    ]  # fmt: skip
    files = release.manifest.files_for((CPU,))
    assert not {*FAST.files} & {*files}
    assert {*FAST.files} <= {*release.manifest.files_for((CUDA,))}


def test_a_provider_that_is_not_installed_is_refused_in_words_and_the_next_serves(
    tmp_path: Path,
) -> None:
    choice = chosen(make_release(tmp_path), BOTH)
    assert choice.taken is not None
    assert (choice.taken.variant, choice.taken.provider) == ("float32", CPU)
    assert choice.taken.nodes == {CPU: 2}
    assert f"has no {CUDA}; it has" in choice.refusals
    assert choice.because == "it alone answers right within the budget"


def test_a_model_that_a_provider_would_not_run_does_not_load(tmp_path: Path) -> None:
    release = replace(make_release(tmp_path), provider=CUDA)
    with pytest.raises(ReleaseError, match=f"has no {CUDA}"):
        Model.load(release, BOTH)


def test_where_the_first_variant_answers_wrong_another_serves(tmp_path: Path) -> None:
    choice = chosen(make_release(tmp_path, alternatives=(HALF,), defect="nan"))
    assert choice.taken is not None
    assert choice.taken.variant == "half"
    assert choice.refusals.startswith("float32 on CPU: golden vectors: output 'label' differs")


def test_beyond_its_budget_a_release_is_refused_or_serves_if_it_is_here_already(
    tmp_path: Path,
) -> None:
    release = make_release(tmp_path, alternatives=(HALF,), budget=Budget(rss_mb=1.0))
    with pytest.raises(ReleaseError, match="half on CPU: budget: the process holds"):
        chosen(release)
    choice = chosen(release, lenient=True)
    assert "the fastest of those that answer right; none keeps the budget" in choice.because
    assert "allowed 1.0" in choice.refusals


def test_what_ended_the_process_as_it_was_tried_is_not_tried_again(tmp_path: Path) -> None:
    release = make_release(tmp_path, alternatives=(HALF,))
    notes: list[VariantChoice] = []
    chosen(release, note=notes.append)
    assert [note.trying for note in notes] == [0, 1, None]
    again = chosen(release, before=notes[0])
    assert again.taken is not None
    assert (again.taken.variant, again.trials[0].refused) == ("half", ENDED)
    # Where runtime or driver are others by now, it is tried again.
    other = replace(notes[0], environment={"runtime": "2"})
    taken = chosen(release, before=other).taken
    assert taken is not None
    assert taken.variant == "float32"


def test_a_trial_that_was_refused_is_not_taken_for_an_end(
    tmp_path: Path, slot: Callable[..., Slot]
) -> None:
    made = make_release(tmp_path, alternatives=(HALF,), defect="nan", spare_defect="crash")
    place = slot(made)
    for _ in range(2):
        with pytest.raises(ReleaseError, match="half on CPU: the model failed") as refused:
            Certifier(RuntimeOptions(), tuple, Told()).probe(place)
        assert ENDED not in str(refused.value)


def test_an_accelerator_that_ended_the_process_is_not_tried_with_another_variant(
    tmp_path: Path,
) -> None:
    release = make_release(tmp_path, alternatives=(HALF,))
    names = [(each.variant.name, each.provider) for each in here(release, BOTH)]
    trials = tuple(VariantTrial(variant, provider or CPU) for variant, provider in names)
    before = VariantChoice({"runtime": "1"}, trials, trying=0)
    after = chosen(release, BOTH, before=before)
    assert [each.provider for each in after.trials if each.refused == ENDED] == [CUDA, CUDA]


def test_what_gives_up_makes_way_for_the_fastest_that_is_left() -> None:
    trials = (
        VariantTrial("a", CUDA, row_us=1),
        VariantTrial("a", CPU, row_us=3),
        VariantTrial("b", CPU, row_us=2),
    )
    choice = VariantChoice({}, trials, chosen=0, because="the fastest")
    after = choice.given_up("the driver is gone")
    assert after is not None
    assert after.taken == trials[2]
    assert "a on CUDA: gave up while it served: the driver is gone" in after.refusals
    last = VariantChoice({}, trials[1:2], chosen=0)
    assert last.given_up("no") is None


@pytest.fixture
def slot(tmp_path: Path) -> Callable[..., Slot]:
    def make(release: Release) -> Slot:
        slots = Slots(tmp_path / "state", providers=BOTH.providers)
        slot = slots.slot(SlotRef("1.0", release.digest))
        shutil.copytree(release.folder, slot.release)
        return slot

    return make


class Told:
    """What the hub would be told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def __call__(self, slot: Slot, sentence: str) -> None:
        self.sentences.append(sentence)


def test_a_choice_stands_until_something_changed_and_then_is_made_again(
    tmp_path: Path, slot: Callable[..., Slot]
) -> None:
    told, place = Told(), slot(make_release(tmp_path, alternatives=(HALF,)))
    refused = Certifier(BOTH, tuple, told).probe(place)
    assert refused is not None
    assert "float32 on CPU serves" in refused
    written = (place.release / CHOICE).read_bytes()
    assert Certifier(BOTH, tuple, told).opened(place).provider == CPU
    assert (place.release / CHOICE).read_bytes() == written  # nothing was tried again
    # Another runtime: as if the one of the choice had been an older one.
    choice = VariantChoice.from_json(written)
    older = replace(choice, environment={**choice.environment, "onnxruntime": "1.0"})
    place.keep_choice(older)
    assert not Certifier(BOTH, tuple, told).is_current(place)
    certifier = Certifier(BOTH, tuple, told)
    assert certifier.opened(place).provider == CPU
    assert certifier.is_current(place)
    (sentence,) = told.sentences
    assert sentence.startswith("onnxruntime was '1.0', is '1.")


@pytest.mark.parametrize("on_purpose", [True, False])
def test_a_process_that_ends_on_purpose_tells_nothing_against_what_is_tried(
    tmp_path: Path, slot: Callable[..., Slot], monkeypatch: pytest.MonkeyPatch, on_purpose: bool
) -> None:
    place = slot(make_release(tmp_path, alternatives=(HALF,)))
    certifier = Certifier(BOTH, tuple, Told())

    def ended(candidate: Release, options: RuntimeOptions) -> Any:
        if on_purpose:
            certifier.clean_exit()
        raise KeyboardInterrupt  # here the process ends

    with monkeypatch.context() as patch:
        patch.setattr(certification, "measured", ended)
        with pytest.raises(KeyboardInterrupt):
            certifier.probe(place)
    again = Certifier(BOTH, tuple, Told()).probe(place)
    assert again is not None
    assert (ENDED in again) is not on_purpose


def test_a_plan_permits_accelerators_and_the_cpu_is_always_permitted(
    tmp_path: Path, slot: Callable[..., Slot]
) -> None:
    place = slot(make_release(tmp_path))
    certifier = Certifier(BOTH, lambda: ("OpenVINOExecutionProvider",), Told())
    assert certifier.probe(place) is None  # CUDA is not even tried
    assert certifier.opened(place).providers == (CPU,)  # nor takes it what another does not run
    assert not Certifier(BOTH, tuple, Told()).is_current(place)
    only = Certifier(RuntimeOptions(providers=(CUDA,)), lambda: ("QNNExecutionProvider",), Told())
    with pytest.raises(ReleaseError, match=f"the plan permits QNNEx.*this device has {CUDA}"):
        only.probe(place)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"environment":{},"trials":[]}', b"\xff"])
def test_a_damaged_note_costs_the_note(
    tmp_path: Path, slot: Callable[..., Slot], content: bytes
) -> None:
    place = slot(make_release(tmp_path))
    (place.release / CHOICE).write_bytes(content)
    release = Certifier(RuntimeOptions(), tuple, Told()).opened(place)
    assert Model.load(release).run({"X": rows(1)})["label"].shape == (1,)
    assert place.choice() is not None


def test_files_that_are_missing_since_there_are_more_providers_are_known(
    tmp_path: Path, slot: Callable[..., Slot]
) -> None:
    place = slot(make_release(tmp_path, alternatives=(FAST,)))
    certifier = Certifier(BOTH, tuple, Told())
    assert not certifier.lacks(place)
    (place.release / FAST.model).unlink()
    assert certifier.lacks(place)
    assert certifier.opened(place).variant.name == "float32"  # what is here serves meanwhile


def test_on_a_disk_that_takes_nothing_it_serves_and_is_not_tried_at_every_plan(
    tmp_path: Path, slot: Callable[..., Slot], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = slot(make_release(tmp_path))
    (place.release / CHOICE).mkdir()  # no file can take this name
    certifier = Certifier(RuntimeOptions(), tuple, Told())
    assert certifier.opened(place).provider == CPU
    assert certifier.is_current(place)
