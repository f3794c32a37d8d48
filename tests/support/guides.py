"""The code of a guide, as a reader pastes it: its fenced blocks in order, and why one of them is not run."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^\n]+) -->\n\n)?"
    r'^(?P<indent> *)```(?P<language>\w+)(?: title="(?P<title>[^"\n]+)")?\n(?P<code>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)
RUN = ("diff", "python", "sh")  # languages of commands; a block with a title is a file; others are shown
END = "END_OF_THE_BLOCK"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its first line's number, its title (a file to write) and its reason not to be run."""

    line: int
    language: str
    title: str
    code: str
    reason: str

    @property
    def runs(self) -> bool:
        """Whether a reader runs or writes it."""
        return not self.reason and bool(self.title or self.language in RUN)

    def script(self) -> str:
        """What a reader does with the block, for bash: write a file, apply a patch, run Python, or paste it."""
        match self.title, self.language:
            case "", "diff":
                return f"git apply - <<'{END}'\n{self.code}{END}\n"
            case "", "python":
                return f"cat > pasted.py <<'{END}'\n{self.code}{END}\npython pasted.py\n"
            case "", "sh":
                return self.code
        return f"mkdir -p '{Path(self.title).parent}'\ncat > '{self.title}' <<'{END}'\n{self.code}{END}\n"


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page of documentation in order, those in lists without their indentation."""
    text = page.read_text()
    return [
        Block(
            text.count("\n", 0, each.end("code")) + 1 - each["code"].count("\n"),
            each["language"],
            each["title"] or "",
            re.sub(rf"^{each['indent']}", "", each["code"], flags=re.MULTILINE),
            each["reason"] or "",
        )
        for each in FENCE.finditer(text)
    ]


def copy_as_clone(folder: Path) -> None:
    """Write what a fresh clone of the working tree has, with this Python's environment as `make install` leaves it."""
    words = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(ROOT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    subprocess.run(("git", "init", "--quiet"), cwd=folder, check=True)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != "installed":
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv/installed").touch()  # newer than what it is made of: make has nothing to do


def follow(pages: Iterable[str], folder: Path, places: Mapping[str, str]) -> str:
    """Paste the pages' blocks into one shell in a clone, up to the first that fails, and return what it printed.

    The environment is that of a new terminal: it has the clone's packages on its PATH only if a page says so.
    `places` maps the paths that a page leaves to its reader, and amounts that take long, to those of the test.
    """
    script = "set -euo pipefail\n"
    for page in pages:
        for block in filter(lambda block: block.runs, read_blocks(ROOT / page)):
            script += f"printf '\\n# %s\\n' '{page}:{block.line}'\n{block.script()}test $? = 0\n"
    for theirs, ours in places.items():
        assert theirs in script, f"no page mentions {theirs}"
        script = script.replace(theirs, ours)
    ours = Path(sys.executable).parent
    path = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != ours)
    kept = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")}
    log = folder / "printed.log"
    with log.open("w") as file:
        shell = subprocess.Popen(
            ("bash", "-c", script),
            cwd=folder,
            env=kept | {"PATH": path, "PYTHONPATH": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        assert shell.wait() == 0, log.read_text()[-8000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)  # what the pages started in the background
    return log.read_text()
