"""A snapshot folder of Hugging Face: ``config.json`` beside ONNX or safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError
from converters.importing.imported import ImportedModel

CONFIG: Final = "config.json"
LIMIT: Final = 4 << 20
_CHOICES: Final = ("SequenceClassification", "ImageClassification", "AudioClassification")
"""Ends of the names of architectures whose ``logits`` are of classes that exclude each other."""

_LICENCE: Final = re.compile(r"^license:[ \t]*([A-Za-z0-9.+-]{1,60})[ \t]*$", re.MULTILINE)


def from_snapshot(folder: Path) -> ImportedModel:
    """Return the model of a snapshot.

    Args:
        folder: with a file ``config.json``.

    Raises:
        ConversionError: it has neither ONNX nor safetensors, or needs code that it brings.
    """
    config = _config(folder / CONFIG)
    kind = str(config.get("model_type", ""))
    architectures = [str(each) for each in config.get("architectures") or ()]
    origin = {"huggingface.model_type": kind, "huggingface.folder": folder.resolve().name}
    if architectures:
        origin["huggingface.architecture"] = architectures[0]
    exported = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")], key=_plainest)
    classes: list[str] = []
    if exported:
        model: Any = exported[0]
    elif list(folder.glob("*.safetensors")):
        model = _module(folder, config, architectures)
        classes = _classes(config, architectures)
    else:
        raise ConversionError(
            f"{folder}: expected model.onnx or model.safetensors beside {CONFIG}, got neither; "
            "pickled weights (pytorch_model.bin) are not read: save the model with safetensors"
        )
    source = f"Hugging Face, {folder}"
    return ImportedModel(model, source, origin, {}, _licence(folder), classes)


def _classes(config: Mapping[str, Any], architectures: list[str]) -> list[str]:
    """Return what the classes of a network that chooses one are called, in the order of its logits;
    none of another network.
    """
    names = config.get("id2label")
    is_choice = any(name.endswith(_CHOICES) for name in architectures[:1])
    if config.get("problem_type") not in (None, "single_label_classification") or not is_choice:
        return []
    if not isinstance(names, dict) or len(names) < 2:
        return []
    found = [names.get(str(i)) for i in range(len(names))]
    distinct = len({name for name in found if isinstance(name, str)}) == len(found)
    return [str(name) for name in found] if distinct else []


def _plainest(path: Path) -> tuple[int, str]:
    """Order ``model.onnx`` before its quantised siblings: those we make and certify ourselves."""
    return (0 if path.name == "model.onnx" else 1, path.name)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            plain = json.loads(file.read(LIMIT))
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read; {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: expected the JSON of a model; {error!s:.200}") from error
    if not isinstance(plain, dict):
        raise ConversionError(f"{path}: expected the JSON of a model, got {type(plain).__name__}")
    return plain


def _module(folder: Path, config: Mapping[str, Any], architectures: list[str]) -> Any:
    """Return the module of a snapshot; of its files only weights are loaded, no code."""
    if config.get("auto_map"):
        raise ConversionError(
            f"{folder}: needs code that the snapshot brings (auto_map), which is never run; export "
            "it to ONNX where you trust that code, and import the file"
        )
    try:
        import transformers
    except ImportError as error:
        raise ConversionError(
            f"{folder}: reading safetensors needs transformers and PyTorch; pip install "
            "transformers torch"
        ) from error
    found = _architecture(transformers, folder, architectures)
    if found is None:
        raise ConversionError(
            f"{folder}: expected an architecture of transformers {transformers.__version__}, got "
            f"{', '.join(architectures) or 'none'}"
        )
    try:
        module = found.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except Exception as error:  # a library of many authors raises what it likes
        raise ConversionError(f"{folder}: cannot be loaded; {error!r:.300}") from error
    return module.eval()


def _architecture(transformers: Any, folder: Path, names: list[str]) -> Any:
    """Return the first class of transformers of these names, ``None`` if it has none of them."""
    for name in names:
        try:
            found = getattr(transformers, name, None)
        except (ImportError, RuntimeError) as error:  # it is imported when it is asked for
            raise ConversionError(
                f"{folder}: {name} cannot be loaded with what is installed here; {error!s:.300}"
            ) from error
        if found is not None:
            return found
    return None


def _licence(folder: Path) -> str | None:
    """Return the licence of the card's head, where that is an identifier."""
    try:
        with (folder / "README.md").open(errors="replace") as file:
            head = file.read(64 << 10)
    except OSError:
        return None
    found = _LICENCE.search(head.partition("\n---")[0])
    return None if found is None or found[1] in ("other", "unknown") else found[1]
