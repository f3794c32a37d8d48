"""What a machine with one GPU can tell of the project, as one page: whether it is right there, and how fast.

Example: python benchmarks/gpu.py --output docs/results/gpu.md
"""

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from ratios import Count, Device

HERE = Path(__file__).parent
PRECISIONS = "--precisions float32 --precisions tf32 --precisions float16 --precisions bfloat16"
SMALL = "--width 0.0625 --pairs 1"
CHAINS = "--batches 12 --batches 128 --batches 512 --steps 20"
FEW_CHAINS = "--batches 2 --steps 2 --iterations 1 --max-steps 2 --samples 12 --precisions float32 --no-large"

# Title: a program, its options, and those of a rehearsal.
PARTS = {
    "Tests": "-m pytest -q ../tests/test_cuda.py | |",
    "The sampler": f"sampler.py --networks resnet18 | {CHAINS} {PRECISIONS} | {SMALL} {FEW_CHAINS}",
    "Precisions": "precision.py | | --width 0.0625 --iterations 1 --count 2",
    "Training": f"rates.py | --widths 1 {PRECISIONS} | resnet18 --widths 0.0625 --batch 4 --count 1",
    "Methods": f"methods.py | --width 1 | {SMALL} --batch 8 --filters 4",
    "Batches": "input_pipeline.py | | --pairs 1",
    "Detectors": f"detectors.py | | {SMALL} --images 2 --flows 8",
}


def commands(device: str, rehearsed: bool) -> dict[str, list[str]]:
    """The command line of every part."""
    found = {}
    for title, parts in PARTS.items():
        program, real, rehearsal = (part.split() for part in parts.split("|"))
        where = [] if program[0] == "-m" else ["--device", device]
        found[title] = [*program, *(rehearsal if rehearsed else real), *where]
    return found


def run(command: list[str], minutes: int) -> tuple[str, str]:
    """What a part prints, and how it ended where that was not well; its progress is shown meanwhile."""
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=HERE, stdout=subprocess.PIPE, text=True, timeout=60 * minutes, check=False
        )
    except subprocess.TimeoutExpired as error:
        printed = error.stdout or ""
        return printed if isinstance(printed, str) else printed.decode(), f"stopped after {minutes} minutes"
    return done.stdout, f"failed: exit status {done.returncode}" if done.returncode else ""


def main(
    *,
    output: Annotated[Path | None, Parameter(help="Write the page to a file too, after each part.")] = None,
    minutes: Annotated[Count, Parameter(help="Longest time of a part.")] = 15,
    rehearse: Annotated[bool, Parameter(help="Run every part at its smallest, on any device.")] = False,
    device: Device = "cuda",
) -> None:
    """Print the page; what fails is said there, later parts are run all the same, and the exit status is 1."""
    page = [f"# On a GPU\n\n`python benchmarks/gpu.py`, {date.today():%Y-%m-%d}.\n"]
    failed = False
    for title, command in commands(device, rehearse).items():
        printed, trouble = run(command, minutes)
        failed = failed or bool(trouble)
        warning = f"\n**{trouble}**\n" if trouble else ""
        page.append(f"## {title}\n\n`{' '.join(['python', *command])}`\n\n{printed.strip()}\n{warning}")
        print(page[-1], flush=True)
        if output:
            output.write_text("\n".join(page))
    sys.exit(failed)


if __name__ == "__main__":
    cyclopts.run(main)
