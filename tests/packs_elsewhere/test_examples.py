"""The pages of the readers show what works, and the readers are as small as they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.writer import write_pack
from tests.edge.builders import make_release
from tests.edge.packs.freeze import FROZEN
from tests.packs_elsewhere.readers import NEED, SOURCES, STRICT, C, compiler, node
from tests.structure import ROOT
from tests.waiting import PATIENCE

JS = ROOT / "packs" / "js"
ROW = np.array([1.0, 0.0, 0.5, 2.0], np.float32)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release with a pack of one answer beside it."""
    made = make_release(tmp_path_factory.mktemp("release"))
    key = Canonicaliser(made.manifest.signature).key(ROW.tobytes())
    answers = np.array([[0.125, 0.75, 0.125]], np.float32)
    keys = np.frombuffer(key, np.uint8).reshape(1, -1)
    write_pack(made.folder / "digits.pack", made, keys, {"probabilities": answers}, answered_by="a")
    return made


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def output(command: list[str], **more: object) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE, **more
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def built(code: str, folder: Path) -> str:
    cc, source = compiler(), folder / "app.c"
    if cc is None:
        pytest.skip(NEED["c"])
    source.write_text(code)
    output([cc, *STRICT, f"-I{C}", str(source), *SOURCES, "-lm", "-o", str(folder / "app")])
    return str(folder / "app")


@pytest.mark.c
def test_the_first_example_in_c_answers(release: Release, tmp_path: Path) -> None:
    program = built(blocks(C / "README.md", "c")[0], tmp_path)
    pack = str(release.folder / "digits.pack")
    assert output([program, pack, release.digest]) == "class 1: 0.750\n"
    done = subprocess.run([program, pack, "0" * 64], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected 000000000000" in done.stderr


@pytest.mark.c
def test_the_example_of_entities_in_c_answers(tmp_path: Path) -> None:
    body = blocks(C / "README.md", "c")[1].replace("user-42", "user-1").replace(" 7,", " 6,")
    program = built(
        f"""#include "edge_pack.h"
#include <stdio.h>
#include <time.h>
int main(int argc, char **argv)
{{
    edge_pack *pack = argc > 1 ? edge_pack_open(argv[1], NULL, NULL) : NULL;
    if (!pack) return 1;
    {{
{body}    }}
    edge_pack_close(pack);
    return 0;
}}
""",
        tmp_path,
    )
    assert output([program, str(FROZEN / "ranked.pack")]) == "hôtel-1 0.9\nb 0.5\nc 0.1\n"
    # Its time is over: that is the default, which has no age.
    assert output([program, str(FROZEN / "probabilities.pack")]) == "ja, nan s old\n"


@pytest.mark.node
def test_the_examples_in_javascript_answer(release: Release, tmp_path: Path) -> None:
    first, second = blocks(JS / "README.md", "js")
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "edge-pack").symlink_to(JS)
    # Node fetches no files: the page's names are read from the folder of the release.
    fetched = (
        'import { readFileSync } from "node:fs";\n'
        "const fetch = async (name) => ({ arrayBuffer: async () => readFileSync(name) });\n"
    )
    (tmp_path / "first.mjs").write_text(fetched + first)
    found = output([node(), str(tmp_path / "first.mjs")], cwd=release.folder)
    assert found == "Float32Array(3) [ 0.125, 0.75, 0.125 ]\n"
    header = json.loads(output([node(), "-e", header_of(FROZEN / "features.pack")]))
    given = (
        'import { readFileSync } from "node:fs";\n'
        f"const data = readFileSync({json.dumps(str(FROZEN / 'numbers.pack'))});\n"
        f"const features = readFileSync({json.dumps(str(FROZEN / 'features.pack'))});\n"
        f"const manifest = {json.dumps(header['manifest'])};\n"
    )
    shown = "console.log(JSON.stringify([source, isStored, row, isStale]));\n"
    text = given + second.replace("user-42", "user-1").replace('"shop"', '"demo"') + shown
    (tmp_path / "second.mjs").write_text(text)
    source, stored, row, stale = json.loads(output([node(), str(tmp_path / "second.mjs")]))
    assert (source, stored, row["basket"], row["city"], stale) == ("pack", True, 3, "Łódź", True)


def header_of(path: Path) -> str:
    return (
        f"const raw = require('fs').readFileSync({json.dumps(str(path))});"
        "console.log(raw.subarray(20, 20 + raw.readUInt32LE(12)).toString())"
    )


def code_lines(path: Path) -> int:
    """Lines without comments and empty ones, as test_shape.py counts those of Python."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    return sum(bool(line.strip()) for line in text.splitlines())


def test_the_reader_in_c_is_small_and_depends_on_its_library_alone() -> None:
    assert code_lines(C / "edge_pack.c") + code_lines(C / "edge_pack.h") <= 500
    included = {
        name
        for path in C.glob("edge_*.[ch]")
        for name in re.findall(r"#include [<\"]([^>\"]+)", path.read_text())
    }
    standard = {"errno", "float", "locale", "math", "stdarg", "stddef", "stdint", "stdio"}
    posix = {"fcntl.h", "sys/mman.h", "sys/stat.h", "unistd.h"}
    ours = {f"edge_{name}.h" for name in ("pack", "key", "json")}
    assert included <= {f"{name}.h" for name in standard | {"stdlib", "string"}} | posix | ours


def test_the_reader_in_javascript_depends_on_nothing() -> None:
    for path in JS.glob("*.js"):
        text = path.read_text()
        assert all(name.startswith("./") for name in re.findall(r'from "([^"]+)"', text)), path
        assert len(text.splitlines()) <= 300
    assert not json.loads((JS / "package.json").read_text()).keys() & {
        *("dependencies", "peerDependencies", "devDependencies")
    }


@pytest.mark.c
@pytest.mark.parametrize("flags", ["-O3", "-std=c11", "-funsigned-char"])
def test_it_compiles_without_a_warning_otherwise_too(flags: str, tmp_path: Path) -> None:
    cc = compiler()
    if cc is None:
        pytest.skip(NEED["c"])
    for source in SOURCES:
        output([cc, *STRICT[:9], flags, "-c", source, "-o", str(tmp_path / "a.o")])
