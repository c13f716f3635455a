"""``predict(entity=…)``: precomputed, else by the model, else the default, and it says which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.manifest import PROFILE
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.pack import parse_header, sections
from edge_sdk.device_kinds.offline import OFFLINE
from edge_sdk.errors import InputError, PackError
from edge_sdk.packs.entity_features import write_entity_features
from edge_sdk.packs.entity_predictions import (
    EntityPredictions,
    EntityValues,
    entity_keys,
    joined_items,
)
from edge_sdk.packs.writer import write_pack
from tests.clock import Clock
from tests.edge.builders import make_release, profile
from tests.edge.packs.entity_answers import AT, written

STILL = DeviceConfig(fold_seconds=3_600.0)
ROW = {"f0": 1.0, "f1": 2.0, "f2": 3.0, "f3": 4.0}


def test_an_entity_is_answered_from_the_pack_with_its_age_and_counted(tmp_path: Path) -> None:
    release, clock = make_release(tmp_path), Clock(AT + 60.0)
    pack = written(tmp_path / "p")
    with EdgeDevice.offline(release.folder, entities=pack, clock=clock) as device:
        p = device.predict(entity="user-1")
        assert (p.label, p.source, p.version, p.age) == (1, "pack", "3.0", 60.0)
        assert p.confidence == pytest.approx(0.7)
        np.testing.assert_allclose(p.probabilities, [0.1, 0.7, 0.2], rtol=1e-6)
        clock.now += 30.0
        assert p.age == 90.0
        assert device.predict(entity="Ærø").label == 0
        model = device.predict([1.0, 2.0, 3.0, 4.0])
        assert (model.source, model.age) == ("model", None)
        device.feedback(p.id, label=1)
        [report] = [b for b in device.reports() if isinstance(b, WindowReport)]
        assert report.predictions == {"pack": 2, "model": 1}


def outcomes(device: EdgeDevice) -> dict[str, Any]:
    """Return what came of late feedback, added up."""
    found = [body for body in device.reports() if isinstance(body, FeedbackReport)]
    assert len(found) <= 1
    return vars(found[0]) if found else {}


def test_labels_of_answers_by_entity_count_for_the_version_that_serves(tmp_path: Path) -> None:
    release = make_release(tmp_path)  # whose classes are 0, 1, 2
    shares = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    values = {"probabilities": EntityValues("probabilities", shares)}
    pack = written(tmp_path / "p", ("a", "b"), values, classes=("cat", "dog"), default="dog")
    with EdgeDevice.offline(release.folder, entities=pack) as device:
        a, b, other = (device.predict(entity=name) for name in ("a", "b", "nobody"))
        for p, label in ((a, "cat"), (b, "cat"), (other, "dog")):
            device.feedback(p.id, label=label)
        device.feedback(a.id, reward=0.5)
        with pytest.raises(InputError, match="has its label already"):
            device.feedback(a.id, label="cat")
        with pytest.raises(InputError, match=r"expected one of \['cat', 'dog'\], got 1"):
            device.feedback(device.predict(entity="a").id, label=1)
        with pytest.raises(InputError, match="prediction 1111"):
            device.feedback(f"{a.id.rpartition('-')[0]}-{'1' * 5_000}", reward=1.0)
        own = device.predict([1.0, 2.0, 3.0, 4.0])
        with pytest.raises(InputError, match=r"expected one of \[0, 1, 2\], got 'cat'"):
            device.feedback(own.id, label="cat")
        device.feedback(own.id, label=own.label)
        came = outcomes(device)
        assert came["window"].version == release.manifest.version
        assert came["by_source"] == {"pack": (2, 1), "default": (1, 1), "model": (1, 1)}
        assert (came["labelled"], came["own_labelled"]) == (4, 1)  # the model was asked once
        assert (came["rewards"], came["reward_sum"]) == (1, 0.5)


def test_clicks_on_a_precomputed_list_are_its_reward_once(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    items = np.array([["x", "y", "z"], ["z", "", ""], ["", "", ""]], object)
    values = {
        "items": EntityValues("other", joined_items(items)),
        "scores": EntityValues("other", np.zeros((3, 3), np.float32)),
    }
    about = {"classes": (), "top": 3, "default_items": ("u", "v")}
    pack = written(tmp_path / "p", ("a", "b", "c"), values, **about)
    with EdgeDevice.offline(release.folder, entities=pack) as device:
        a, b, c, other = (device.predict(entity=name) for name in ("a", "b", "c", "nobody"))
        device.feedback(a.id, clicks=["z", "x"])
        device.feedback(b.id, clicks=[])
        device.feedback(other.id, clicks=["v"])
        with pytest.raises(InputError, match="has its clicks already"):
            device.feedback(a.id, clicks=["x"])
        with pytest.raises(InputError, match="did not show 'z'"):
            device.feedback(c.id, clicks=["z"])
        with pytest.raises(InputError, match="a list takes clicks or a reward"):
            device.feedback(c.id, label="z")
        with pytest.raises(InputError, match="expected the id of a recent ranking"):
            device.feedback(device.predict([1.0, 2.0, 3.0, 4.0]).id, clicks=[])
        came = outcomes(device)
        assert (came["rewards"], came["reward_sum"], came["labelled"]) == (3, 2.0, 0)


def test_a_list_is_clicked_on_after_its_pack_and_its_release_were_replaced(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    values = {
        "items": EntityValues("other", joined_items(np.array([["x"]], object))),
        "scores": EntityValues("other", np.zeros((1, 1), np.float32)),
    }
    pack = written(tmp_path / "p", ("a",), values, classes=(), top=1)
    with EdgeDevice.offline(release.folder, entities=pack) as device:
        p = device.predict(entity="a")
        service = device._service
        service.use_entities(EntityPredictions.open(written(tmp_path / "q"), "demo"))
        service.serve(service.open(release, OFFLINE))
        device.feedback(p.id, clicks=["x"])
        assert outcomes(device)["reward_sum"] == 1.0


def test_answers_by_entity_stand_beside_those_of_a_model_without_columns(tmp_path: Path) -> None:
    without = replace(profile(), features=())
    release = make_release(tmp_path, columns=(), documents={PROFILE: without.to_json()})
    values = {
        "items": EntityValues("other", joined_items(np.array([["x", "y"]], object))),
        "scores": EntityValues("other", np.zeros((1, 2), np.float32)),
    }
    pack = written(tmp_path / "p", ("a",), values, classes=(), top=2)
    with EdgeDevice.offline(release.folder, entities=pack) as device:
        device.predict(np.zeros((1, 4), np.float32))
        device.feedback(device.predict(entity="a").id, clicks=["y"])
        reports = device.reports()
        [window] = [b for b in reports if isinstance(b, WindowReport)]
        assert window.predictions == {"model": 1, "pack": 1}
        [came] = [b for b in reports if isinstance(b, FeedbackReport)]
        assert came.reward_sum == 1.0


def test_an_answer_is_not_given_after_its_time_however_long_the_device_is_offline(
    tmp_path: Path,
) -> None:
    release, clock = make_release(tmp_path), Clock(AT)
    pack = written(tmp_path / "p", expires=int(AT + 100), default=2)
    with EdgeDevice.offline(release.folder, entities=pack, clock=clock) as device:
        assert device.predict(entity="user-1").source == "pack"
        clock.now = AT + 100
        p = device.predict(entity="user-1")
        assert (p.source, p.label, p.age) == ("default", 2, None)
    without = written(tmp_path / "q", expires=int(AT + 100))
    with (
        EdgeDevice.offline(release.folder, entities=without, clock=clock) as device,
        pytest.raises(InputError, match=r"generation 7 have expired.*no batch features"),
    ):
        device.predict(entity="user-1")


def test_a_clock_behind_the_cloud_gives_no_negative_age(tmp_path: Path) -> None:
    release, pack = make_release(tmp_path), written(tmp_path / "p")
    with EdgeDevice.offline(release.folder, entities=pack, clock=Clock(5.0)) as device:
        assert device.predict(entity="user-1").age == 0.0


def test_a_clock_without_battery_makes_no_answer_last_for_ever(tmp_path: Path) -> None:
    release, clock = make_release(tmp_path), Clock(5.0)
    pack = written(tmp_path / "p", expires=int(AT + 100), default=2)
    with EdgeDevice.offline(release.folder, entities=pack, clock=clock) as device:
        p = device.predict(entity="user-1")
        clock.now = 104.0
        assert (device.predict(entity="user-1").source, p.age) == ("pack", 99.0)
        clock.now = 105.0
        assert device.predict(entity="user-1").source == "default"
        clock.now = AT + 50  # somebody set it: it is believed
        assert (device.predict(entity="user-1").source, p.age) == ("pack", 50.0)
        clock.now = 5.0  # and lost it again
        assert device.predict(entity="user-1").source == "pack"
        clock.now = 106.0
        assert device.predict(entity="user-1").source == "default"
        clock.now = AT + 1e9
        assert device.predict(entity="user-1").source == "default"


def test_one_without_an_answer_goes_to_the_model_and_then_to_the_default(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    features = tmp_path / "features"
    columns = {name: [value] for name, value in ROW.items()}
    write_entity_features(features, release, ["user-9"], columns, defaults=dict.fromkeys(ROW, 0.0))
    pack = written(tmp_path / "p", default=2)
    with EdgeDevice.offline(release.folder, entities=pack, features=features) as device:
        assert device.predict(entity="user-1").source == "pack"
        by_model = device.predict(entity="user-9")
        assert by_model.source == "model"
        assert (by_model.probabilities == device.predict(list(ROW.values())).probabilities).all()
        # What comes with the call is newer than anything that was precomputed.
        assert device.predict({"f0": 5.0}, entity="user-1").source == "model"
    with EdgeDevice.offline(release.folder, entities=pack) as device:
        p = device.predict(entity="user-9")
        assert (p.source, p.label, p.confidence) == ("default", 2, None)
        # Without features here the precomputed answer is the best that there is.
        assert device.predict({"f0": 5.0}, entity="user-1").source == "pack"
        [report] = [b for b in device.reports() if isinstance(b, WindowReport)]
        assert report.predictions == {"pack": 1, "default": 1}
        assert report.errors == {}


def test_a_model_that_lacks_features_of_the_moment_leaves_the_default(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    features = tmp_path / "features"
    write_entity_features(features, release, ["user-9"], {"f0": [1.0]}, defaults={"f0": 0.0})
    pack = written(tmp_path / "p", default=2)
    with EdgeDevice.offline(release.folder, entities=pack, features=features) as device:
        assert device.predict(entity="user-9").source == "default"
        with pytest.raises(InputError, match="expected feature 'f3'"):
            device.predict({"f1": 1.0, "f2": 2.0}, entity="user-9")
        with pytest.raises(InputError, match="'age' is no feature"):
            device.predict({"f1": 1.0, "f2": 1.0, "f3": 1.0, "age": 1.0}, entity="user-1")


@pytest.mark.parametrize("entity", ["", 42, "\udcff", b"user-1"])
def test_what_is_no_name_is_refused_and_never_gets_the_default(tmp_path: Path, entity: Any) -> None:
    release, pack = make_release(tmp_path), written(tmp_path / "p", default=2)
    with (
        EdgeDevice.offline(release.folder, entities=pack) as device,
        pytest.raises(InputError, match="entity: expected"),
    ):
        device.predict(entity=entity)


def test_ranked_lists_may_differ_in_length(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    items = np.array([["hôtel-1", "b", "c"], ["z", "", ""], ["", "", ""]], object)
    scores = np.array([[0.9, 0.5, 0.1], [0.4, np.nan, np.nan], [np.nan] * 3], np.float32)
    values = {
        "items": EntityValues("other", joined_items(items)),
        "scores": EntityValues("other", scores),
    }
    about = {"classes": (), "top": 3, "default_items": ("x", "y")}
    pack = written(tmp_path / "p", ("a", "b", "c"), values, **about)
    with EdgeDevice.offline(release.folder, entities=pack) as device:
        first = device.predict(entity="a").ranked
        assert first is not None
        assert first.items == ("hôtel-1", "b", "c")
        assert first.scores == pytest.approx((0.9, 0.5, 0.1))
        assert device.predict(entity="b").ranked == (("z",), (pytest.approx(0.4),))
        assert device.predict(entity="c").ranked == ((), ())
        other = device.predict(entity="stranger")
        assert (other.source, other.ranked) == ("default", (("x", "y"), ()))
        assert device.predict([1.0, 2.0, 3.0, 4.0]).ranked is None


KINDS: dict[str, tuple[dict[str, EntityValues], dict[str, Any], Any]] = {
    "a number": (
        {"prediction": EntityValues("value", np.array([1.5, 2.5], np.float32))},
        {"classes": ()},
        lambda p: p.value == 2.5,
    ),
    "several numbers": (
        {"prediction": EntityValues("value", np.array([[1.0, 2.0], [3.0, 4.0]]))},
        {"classes": ()},
        lambda p: p.value.tolist() == [3.0, 4.0],
    ),
    "a label alone": (
        {"label": EntityValues("label", np.array([0, 2], np.int32))},
        {"classes": ("no", "perhaps", "yes")},
        lambda p: (p.label, p.confidence) == ("yes", None),
    ),
    "a label beside probabilities that name another": (
        {
            "probabilities": EntityValues("probabilities", np.array([[0.9, 0.1], [0.8, 0.2]])),
            "label": EntityValues("label", np.array([0, 1], np.int32)),
        },
        {"classes": ("a", "b")},
        lambda p: (p.label, p.confidence) == ("b", 0.8),
    ),
    "several labels": (
        {"scores": EntityValues("scores", np.array([[0.9, 0.1], [0.8, 0.7]], np.float32))},
        {"classes": ("cat", "dog")},
        lambda p: p.labels == ("cat", "dog"),
    ),
    "other outputs": (
        {"embedding": EntityValues("other", np.arange(6, dtype=np.float32).reshape(2, 3))},
        {"classes": ()},
        lambda p: p.outputs["embedding"].tolist() == [3.0, 4.0, 5.0],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_answer_comes_back(tmp_path: Path, kind: str) -> None:
    values, about, holds = KINDS[kind]
    release = make_release(tmp_path)
    pack = written(tmp_path / "p", ("a", "b"), values, **about)
    with EdgeDevice.offline(release.folder, entities=pack) as device:
        assert holds(device.predict(entity="b"))


def test_packs_of_another_kind_or_model_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    other = written(tmp_path / "other", model="another")
    with pytest.raises(PackError, match="expected answers for demo, got some for another"):
        EdgeDevice.offline(release.folder, entities=other)
    keys = entity_keys(["a"])
    write_pack(tmp_path / "inputs", release, keys,
               {"probabilities": np.ones((1, 3), np.float32)}, answered_by="x")  # fmt: skip
    with pytest.raises(PackError, match="got a pack with keys of dense-float32-v1"):
        EntityPredictions.open(tmp_path / "inputs", "demo")
    with pytest.raises(PackError, match="made for release"):
        EdgeDevice.offline(release.folder, pack=written(tmp_path / "p", model="demo"))
    two = {"probabilities": EntityValues("probabilities", np.ones((1, 2), np.float32))}
    with pytest.raises(PackError, match="expected probabilities of 3 classes"):
        EntityPredictions.open(written(tmp_path / "two", ("a",), two), "demo")
    with pytest.raises(PackError, match="two different answers"):
        written(tmp_path / "twice", ("a", "a", "b"))


def test_a_damaged_block_answers_nothing_and_the_default_takes_over(tmp_path: Path) -> None:
    release, path = make_release(tmp_path), written(tmp_path / "p", default=2)
    pack = EntityPredictions.open(path, "demo")
    raw = bytearray(path.read_bytes())
    raw[pack.pack._sections.values + 1] ^= 1
    path.unlink()
    path.write_bytes(raw)
    with EdgeDevice.offline(release.folder, entities=path) as device:
        answers = [device.predict(entity=name).source for name in ("user-1", "user-2", "Ærø")]
        assert "default" in answers
        assert device._service.entities is not None
        assert device._service.entities.pack.damage is not None


def test_a_damaged_key_or_filter_is_found_though_nothing_is_answered_from_it(
    tmp_path: Path,
) -> None:
    release, path = make_release(tmp_path), written(tmp_path / "p", default=2)
    raw = path.read_bytes()
    header, directory = parse_header(raw)
    places = sections(header, directory)
    for place in (places.keys + 5, places.keys + 16 + 5, places.directory, places.filter):
        damaged = bytearray(raw)
        damaged[place] ^= 255
        path.unlink()
        path.write_bytes(damaged)
        with EdgeDevice.offline(release.folder, entities=path, config=STILL) as device:
            answers = [device.predict(entity=name) for name in ("user-1", "user-2", "Ærø")]
            assert {p.label for p in answers} <= {0, 1, 2}
            device._service.check_files()
            device._service.check_files()
            entities = device._service.entities
            assert entities is not None
            assert entities.pack.damage is not None


def test_names_of_items_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(PackError, match="without the character NUL"):
        joined_items(np.array([["a\0b"]], object))
