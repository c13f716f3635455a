"""The Python of the pages about converting runs, and what they name exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import converters
import edge_sdk
from edge_sdk import EdgeDevice

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "converters/README.md",
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")),
]
BLOCK = re.compile(r"```python[^\n]*\n(.*?)```", re.DOTALL)


def blocks(page: str) -> list[str]:
    return BLOCK.findall((ROOT / page).read_text())


def run(code: str, page: str, **names: Any) -> dict[str, Any]:
    namespace = dict(names)
    exec(compile(code, page, "exec"), namespace)
    return namespace


@pytest.mark.parametrize("package", [converters, edge_sdk], ids=lambda package: package.__name__)
def test_every_public_name_is_explained_on_some_page(package: Any) -> None:
    text = "\n".join((ROOT / page).read_text() for page in PAGES)
    missing = [name for name in package.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing


def test_every_keyword_of_convert_is_explained_beside_its_group() -> None:
    from dataclasses import fields

    from converters.options import Options

    rows = (ROOT / "converters/README.md").read_text().splitlines()
    for group in fields(Options):
        row = next(
            row for row in rows if f"`{group.name}={type(group.default).__name__}(…)`" in row
        )
        for field in fields(group.default):
            assert f"`{field.name}`" in row, f"{group.name}: {field.name}"


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_every_page_is_python(page: str) -> None:
    for code in blocks(page):
        compile(code, page, "exec")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_that_are_there(page: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / link).exists(), link


def test_the_block_of_the_distribution_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
    (code,) = blocks("converters/README.md")
    run(code, "converters/README.md", model=model, X=X[1::2], y=y[1::2])
    assert (tmp_path / "digits-1.0").is_dir()


def labelled(torch: Any, module: Any, X: Any) -> Any:
    """Return the classes that a module itself gives, so that no page has to train it."""
    with torch.no_grad():
        return module(torch.as_tensor(X)).argmax(1).numpy()


def network(torch: Any, side: int) -> Any:
    """Return a classifier of pictures [N, 3, side, side] with random weights."""
    nn = torch.nn
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, side // 8, side // 8), nn.ReLU(), nn.Flatten())
    return nn.Sequential(features, nn.Linear(4 * 8 * 8, 3))


@pytest.mark.torch
@pytest.mark.slow
def test_the_first_five_minutes_with_a_network_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="modules need PyTorch: the extra [torch]")
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).standard_normal((60, 3, 16, 16)).astype(np.float32)
    module = network(torch, 16)
    page = "docs/start/DATA_SCIENTIST.md"
    convert_it, serve_it = blocks(page)
    run(convert_it, page, network=module, X=X, y=labelled(torch, module, X))
    run(serve_it, page, x=X[:1])
    (explain_it,) = blocks("docs/TENSORS.md")
    with EdgeDevice.offline("defects-1.0") as device:
        names = run(explain_it, "docs/TENSORS.md", device=device, picture=X[:1])
    assert names["e"].heatmap().shape == (16, 16)


@pytest.mark.torch
@pytest.mark.slow
def test_the_page_of_networks_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="modules need PyTorch: the extra [torch]")
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    page, random = "docs/NETWORKS.md", np.random.default_rng(0)
    of_a_module, of_tokens, of_pictures, of_a_file, of_texts = blocks(page)

    module = network(torch, 16)
    X = random.standard_normal((60, 3, 16, 16)).astype(np.float32)
    names = run(of_a_module, page, module=module, X=X, y=labelled(torch, module, X))

    reader = words_of(torch)
    run(of_tokens, page, **{**names, "bert": reader, "y": [0, 1]})

    module = network(torch, 224)
    pictures = [random.integers(0, 256, (260, 300 + i, 3), dtype=np.uint8) for i in range(3)]
    truth = labelled(torch, module, np.stack([of_training(each) for each in pictures]))
    given = {"module": module, "pictures": pictures, "y": truth, "transform": of_training}
    run(of_pictures, page, **{**names, **given})
    Image.fromarray(pictures[0]).save("photo.jpg")
    run(of_a_file, page, **names)

    texts = ["what a day", "a day", "what", "day a what"] * 5
    run(of_texts, page, **{**names, "bert": reader, "texts": texts, "y": [0, 1, 0, 1] * 5})


def words_of(torch: Any) -> Any:
    """Return a classifier of token numbers and their mask, and save a tokenizer for it."""
    from transformers import BertTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "a", "day"]
    Path("vocabulary.txt").write_text("\n".join(pieces))
    BertTokenizerFast("vocabulary.txt").save_pretrained("my-bert")

    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.head = torch.nn.Embedding(50, 8), torch.nn.Linear(8, 2)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            mask = attention_mask[..., None].float()
            return self.head((self.words(input_ids) * mask).sum(1) / mask.sum(1))

    torch.manual_seed(0)
    return Words()


def of_training(picture: Any) -> Any:
    """Resize, crop and normalise a picture [H, W, 3] as torchvision does: [3, 224, 224]."""
    from PIL import Image

    height, width = picture.shape[:2]
    short = min(height, width)
    image = Image.fromarray(picture)
    image = image.resize((int(256 * width / short), int(256 * height / short)), Image.BILINEAR)
    left, top = (round((side - 224) / 2) for side in image.size)
    crop = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return ((crop - mean) / std).transpose(2, 0, 1)
