"""A scratch copy of the project, and the recipes of CONTRIBUTING.md carried out in it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deepfake_uncertainty import paths

GUIDE = paths.PROJECT / ".github" / "CONTRIBUTING.md"
# The info string of a block names its language, then the file, then the place in the file.
BLOCK = re.compile(
    r'^```(?P<language>\w+)(?: (?P<path>[^\s,]+))?(?:, (?P<place>at the end|after "\w+"))?\n'
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LEFT_OUT = shutil.ignore_patterns("*.pyc.*", "*.ipynb", ".ipynb_checkpoints", ".partial-*")
PREFIX = "DEEPFAKE_UNCERTAINTY_"  # of the environment's names for what a user gives


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file that it names ('' for none), the place, the text."""

    language: str
    path: str
    place: str
    text: str


def sections() -> dict[str, str]:
    """Return {title: text} of the guide's sections."""
    parts = re.split(r"^## (.+)\n", GUIDE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(title: str) -> list[Block]:
    """Return the fenced blocks of one section of the guide, in order."""
    found = BLOCK.finditer(sections()[title])
    return [Block(**{name: text or "" for name, text in one.groupdict().items()}) for one in found]


def file_block(title: str, end: str) -> Block:
    """Return the block of a section whose file's path ends in `end`."""
    (found,) = [block for block in blocks(title) if block.path.endswith(end)]
    return found


@dataclass(frozen=True)
class Scratch:
    """A copy of the project in the folder `root`; `data` is the data root of its commands."""

    root: Path
    data: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment of its commands: the library is the copy, all results go there."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
        kept |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        kept |= {"PYTHONPATH": str(self.root / "lib"), "OMP_NUM_THREADS": "1"}
        kept |= {f"{PREFIX}HOME": str(self.root)}
        return kept | ({f"{PREFIX}DATA_ROOT": str(self.data)} if self.data else {})

    def bash(self, text: str) -> str:
        """Run a script with `bash -e` in the copy and return what it prints, errors included."""
        done = subprocess.run(
            ["bash", "-e", "-c", text],
            cwd=self.root, env=self.environment(), text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def write(self, block: Block) -> None:
        """Write a block to the file that it names, or put it at its place in that file."""
        path = self.root / block.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not block.place:
            assert not path.exists(), f"{block.path} exists already"
            path.write_text(block.text)
        elif block.place == "at the end":
            path.write_text(path.read_text() + block.text)
        else:
            word = block.place.removeprefix("after ")
            before, line, after = re.split(rf"(^.*{word}.*\n)", path.read_text(), flags=re.M)
            path.write_text(before + line + block.text + after)

    def carry_out(self, title: str) -> str:
        """Write the files of a section and run its bash blocks; return what these print."""
        for block in blocks(title):
            if block.path:
                self.write(block)
        return "".join(self.bash(one.text) for one in blocks(title) if one.language == "bash")

    def models(self) -> dict[str, int]:
        """Return {key: time of writing} of the trained models in the cache."""
        cards = (self.root / ".cache/models").glob("*/card.json")
        return {card.parent.name: card.stat().st_mtime_ns for card in cards}


def make_scratch(root: Path, cache: Path, data: Path | None = None) -> Scratch:
    """Return a new copy of the project in `root`, with the folder `cache` as its cache."""
    for name in ("lib", "notebooks", "tests"):
        shutil.copytree(paths.PROJECT / name, root / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "run_all.sh"):
        shutil.copy2(paths.PROJECT / name, root / name)
    cache.mkdir(exist_ok=True)
    (root / ".cache").symlink_to(cache)
    return Scratch(root, data)
