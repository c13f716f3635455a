"""``edge replay``: a history of inputs through a release, with its own clock."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_sdk.cli.help import CommandGroups
from edge_sdk.cli.output import show


def add_replay_command(commands: CommandGroups, parent: argparse.ArgumentParser) -> None:
    """Add ``edge replay``."""
    command = commands.add(
        "replay",
        "answer a history of inputs with its own clock, and write the reports of its windows",
        ["edge replay digits-1.0/ june.jsonl --out june.reports --window 3600"],
        parent=parent,
    )
    command.add_argument("release", type=Path, help="a release folder")
    command.add_argument("history", type=Path, help="inputs with times, as .jsonl or .csv")
    command.add_argument("--out", type=Path, metavar="FILE", help="write the reports here")
    command.add_argument("--pack", type=Path, metavar="FILE", help="a pack of answers")
    command.add_argument(
        "--window", type=_whole, default=300, metavar="SECONDS", help="of a window (default: 300)"
    )
    command.add_argument(
        "--least", type=_whole, default=100, metavar="N",
        help="fewest observations whose histograms are reported (default: 100)",
    )  # fmt: skip
    command.add_argument(
        "--right-within", type=float, metavar="X", help="by how much a right number may be off"
    )
    command.set_defaults(run=run_replay)


def run_replay(arguments: argparse.Namespace) -> int:
    """Answer a history, and write its reports; return 1 if no input was answered."""
    from edge_sdk.contract.serving_terms import Reporting
    from edge_sdk.model.release import Release
    from edge_sdk.replay.history_file import boot_of, read_history, write_messages
    from edge_sdk.replay.replaying import HistoryReplay

    release = Release.open(arguments.release, verify=False)
    reporting = Reporting(
        arguments.window, arguments.least, 0, right_within=arguments.right_within
    )  # fmt: skip
    history = read_history(arguments.history, release.manifest.signature)
    replay = HistoryReplay(arguments.release, history, reporting=reporting, pack=arguments.pack)
    bodies = list(replay)
    if arguments.out is not None:
        files = [path for path in (arguments.history, arguments.pack) if path is not None]
        write_messages(arguments.out, boot_of(release.digest, reporting, files), bodies)
    show({**vars(replay.counts), "reports": len(bodies)}, as_json=arguments.json)
    return 0 if replay.counts.answered else 1


def _whole(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 604_800:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)
