"""Texts become the numbers of a Python tokenizer inside the release, whatever they hold."""

from __future__ import annotations

import random
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import ConversionError, Tokenizer, convert
from converters.errors import ParityError
from converters.preprocessing.nodes import put_before
from converters.preprocessing.tokenizer import PROBES
from converters.sources.onnx_session import RawModel
from edge_sdk import EdgeDevice
from tests.converters.frameworks import packages

tokenizers = pytest.importorskip("tokenizers", reason="comes with transformers")
pytestmark = pytest.mark.torch

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "a small café in Paris serves crème brûlée",
    "Hello, World! it's 3.14, re-do?",
    "naïve Übergröße, straße",
    "東京 tokyo Ελλάδα ςσ İi",
    "edge devices predict offline",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def trained(pre_tokenizer="BertPreTokenizer", model="WordPiece", **normalizer):
    made = tokenizers.Tokenizer(getattr(tokenizers.models, model)(unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(**normalizer)
    made.pre_tokenizer = getattr(tokenizers.pre_tokenizers, pre_tokenizer)()
    trainer = getattr(tokenizers.trainers, f"{model}Trainer")
    made.train_from_iterator(TEXTS, trainer(vocab_size=300, special_tokens=SPECIAL))
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def network(path=None, opset=18):
    """Sums of the vectors of pieces, as logits."""
    tables = {"table": np.random.default_rng(0).normal(0, 1, (300, 3)).astype(np.float32)}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one"], ["logits"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(np.array([i]), n) for n, i in (("last", 2), ("one", 1))]
    constants += [numpy_helper.from_array(array, name) for name, array in tables.items()]
    names = ("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in names]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "g", inputs, [output], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if path is not None:
        onnx.save(made, path)
    return made


def through(before):
    """The steps alone: a function of texts to numbers and mask."""
    nodes, results = before.build()
    proto = put_before(network(), nodes, results, before.given())
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in results.values())
    raw = RawModel(proto.SerializeToString(), "steps")

    def run(*texts):
        outputs = raw.run({"text": np.array(texts, object)})
        return [outputs[name] for name in results.values()]

    return run


@pytest.fixture(scope="module")
def before():
    return Tokenizer(trained(), 64)


def random_texts(count):
    """Words, special pieces and characters of all of Unicode, mixed."""
    chance = random.Random(0)
    points = [i for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]
    words = [*" ".join(TEXTS).split(), *SPECIAL, "[sep]", "e\u0301", " "]
    below = (127, 0x3000, len(points))

    def unit():
        character = chr(points[chance.randrange(chance.choice(below))])
        return chance.choice([character, chance.choice(words), " "])

    return ["".join(unit() for _ in range(chance.randrange(25))) for _ in range(count)]


SETTINGS = {
    "lowercase": {},
    "cased": {"lowercase": False},
    "accents kept": {"strip_accents": False},
    "Chinese in words": {"handle_chinese_chars": False},
    "control characters kept": {"clean_text": False},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SETTINGS)
def test_any_text_has_the_numbers_of_the_python_tokenizer(case):
    before = Tokenizer(trained(**SETTINGS[case]), 64)
    run = through(before)
    for text in [*TEXTS, *PROBES, *random_texts(300)]:
        expected = before.transform(text)
        numbers, mask = run(text)
        assert numbers.tolist() == [expected["input_ids"].tolist()], repr(text)
        assert mask.tolist() == [expected["attention_mask"].tolist()], repr(text)


def test_rows_of_a_batch_are_filled_up_behind_the_mask(before):
    numbers, mask = through(before)(*TEXTS, "", "word " * 100)
    for i, text in enumerate([*TEXTS, "", "word " * 100]):
        own = before.transform(text)["input_ids"].tolist()
        assert numbers[i, : len(own)].tolist() == own
        assert mask[i].sum() == len(own) <= 64
        assert not numbers[i, len(own) :].any()


def test_a_tokenizer_of_transformers_is_taken(before):
    fast = packages.transformers().PreTrainedTokenizerFast(tokenizer_object=before.tokenizer)
    assert Tokenizer(fast, 64).transform("the fox") ["input_ids"].tolist() == (
        before.transform("the fox")["input_ids"].tolist()
    )  # fmt: skip


def test_an_app_gives_texts_and_gets_labels(before, tmp_path):
    network(tmp_path / "m.onnx")
    release = convert(
        tmp_path / "m.onnx", TEXTS, name="m", out=tmp_path / "r", preprocess=before,
        output="logits", classes=["a", "b", "c"],
    )  # fmt: skip
    assert "at most 0.0e+00 in the tensor" in release.manifest.training["preprocessing"]
    own = RawModel(network().SerializeToString(), "m")
    with EdgeDevice.offline(tmp_path / "r") as device:
        for text in [*TEXTS, "東京 ☃ [MASK]", ""]:
            feed = {n: v[None] for n, v in before.transform(text).items()}
            logits = own.run(feed)["logits"][0]
            assert device.predict({"text": [text]}).label == "abc"[logits.argmax()]


class Other:
    """A tokenizer that cuts otherwise than the one that the release was made of."""

    def __init__(self, tokenizer, text):
        self.tokenizer, self.text = tokenizer, text

    def encode(self, text):
        return self.tokenizer.encode("other" if text == self.text else text)


@pytest.mark.parametrize("text", [TEXTS[3], PROBES[3]], ids=["a sample", "another text"])
def test_a_text_that_differs_is_refused_and_shown(text, before, tmp_path, monkeypatch):
    network(tmp_path / "m.onnx")
    tables = before._file
    object.__setattr__(tables, "tokenizer", Other(tables.tokenizer, text))
    try:
        with pytest.raises(ParityError, match=text.split()[0]):
            convert(tmp_path / "m.onnx", TEXTS, name="m", out=tmp_path / "r", preprocess=before,
                    output="values")  # fmt: skip
    finally:
        object.__setattr__(tables, "tokenizer", tables.tokenizer.tokenizer)
    assert not (tmp_path / "r").exists()


REFUSED = {
    "whole words": (lambda: (trained(model="WordLevel"), 64), "expected WordPiece as model"),
    "other words": (lambda: (trained("Whitespace"), 64), "BertPreTokenizer as pre tokenizer"),
    "no tokenizer": (lambda: ("bert", 64), "got str"),
    "no room": (lambda: (trained(), 2), "above 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_tokenizers_are_refused(case):
    make, message = REFUSED[case]
    with pytest.raises(ConversionError, match=message):
        Tokenizer(*make())


@pytest.mark.parametrize("X", ["text", [], [1, 2], None], ids=["one", "none", "numbers", "nothing"])
def test_other_than_texts_is_refused(X, before, tmp_path):
    network(tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match="expected a"):
        convert(tmp_path / "m.onnx", X, name="m", out=tmp_path / "r", preprocess=before)


def test_a_network_with_other_inputs_is_refused(before, tmp_path):
    network(tmp_path / "m.onnx")
    other = Tokenizer(before.tokenizer, 64, inputs=("ids",))
    with pytest.raises(ConversionError, match="expected a network with the inputs"):
        convert(tmp_path / "m.onnx", TEXTS, name="m", out=tmp_path / "r", preprocess=other)


def test_a_file_of_an_old_operator_set_is_refused(before, tmp_path):
    network(tmp_path / "m.onnx", opset=17)
    with pytest.raises(ConversionError, match="operator set 18 to"):
        convert(tmp_path / "m.onnx", TEXTS, name="m", out=tmp_path / "r", preprocess=before)
