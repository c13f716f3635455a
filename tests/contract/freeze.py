"""Write the frozen bytes of examples that have none yet: ``python -m tests.contract.freeze``."""

from __future__ import annotations

from pathlib import Path

from edge_sdk.contract.codec import encode
from tests.contract.examples import EXAMPLES

GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    for name, example in EXAMPLES.items():
        path = GOLDEN / f"{name}.json"
        if not path.exists():
            path.write_bytes(encode(example))
            print(f"froze {path.name}")


if __name__ == "__main__":
    main()
