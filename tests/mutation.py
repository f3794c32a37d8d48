"""Change one thing at a time in the modules that numbers come from, and see whether their tests notice.

Each module is collected with its tests once. Every change then runs in a forked child, which holds torch and the tests
already: it puts the changed code in place of the module's and runs the tests until one fails. A child that hangs is
killed and counts as noticed. No file is written. cosmic-ray starts a process for each change, and here a process
spends most of its time importing torch.

Examples: python tests/mutation.py fig/energy.py
          python tests/mutation.py --sample 20
"""

import gc
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from inspect import unwrap
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType, ModuleType
from typing import Any

import cyclopts
import pytest
from tqdm import tqdm

from support.changes import ROOT, Change, list_changes

LEAST = 0.95  # share of the changes of a module that its tests must notice

TESTS = {  # the tests that concern a module
    "fig/energy.py": ("test_energy.py",),
    "fig/objectives.py": ("test_objectives.py",),
    "fig/metrics.py": ("test_metrics.py",),
    "fig/langevin.py": ("test_sampler.py", "test_precision.py", "test_sampling.py"),
    "fig/sampler.py": ("test_sampler.py", "test_replay.py", "test_precision.py", "test_sampling.py"),
    "fig/report/measures.py": ("test_measures.py",),
}
# Slow, and about more than these modules:
LEFT_OUT = ("test_folding_and_", "test_only_samples_", "test_a_drawing_that_is_stopped", "test_where_memory_")

SHARED = "these are all the columns that both tables have"
NAMED = "a named tuple equals the tuple"
CHOICE = "as good a choice"
ROW = "every setting has its row"
LENGTHS = "the columns are of one table"
STACK = "the two differ in missing values, which are dropped"
GPU = "shows on a GPU alone"
SPEED = "changes the speed alone"
STILL = "no chain moves along it"
NAN = "all columns are NaN"
EQUIVALENT = {  # module -> how a line and its change begin, and why no test can notice that
    "fig/metrics.py": (
        ("return float(average_precision_score(1", "1 - is_id -> 1 + is_id", "OOD images have the label 1 in both"),
        ("id_scores: Scores, ood_scores: Scores, level", "300 -> 301", CHOICE),
        ("id_scores: Scores, ood_scores: Scores, level", "0 -> 1", CHOICE),
    ),
    "fig/report/measures.py": (
        ("detectors = [chosen[names]", "name=None -> (left out)", NAMED),
        ("return list(rows.itertuples(", "name=None -> (left out)", NAMED),
        ("return rows.merge(found.astype(", "on=on -> (left out)", SHARED),
        ("protocols = asked.merge(", "on='detector' -> (left out)", SHARED),
        ("shared = scorings[", "scorings.index.droplevel(", "pandas reindexes by the levels that both have"),
        ("return table.iloc[", "'stable' -> 'stablex'", "numpy reads the first letter"),
        ("return values[~is_standard].merge(", "on=pair -> (left out)", SHARED),
        ("return means.merge(scored[", "on=SETTING -> (left out)", SHARED),
        ("return means.merge(scored[", "how='left' -> (left out)", ROW),
        ("return means.merge(scored[", "'left' -> 'inner'", ROW),
        ("both = aurocs.merge(", "on=[*NAMES, 'seed'] -> (left out)", SHARED),
        (
            "means = [harmonic_mean(",
            "harmonic_mean(auroc, accuracy) -> harmonic_mean(accuracy, auroc)",
            "it is symmetric",
        ),
        ("means = [harmonic_mean(", "zip(both['value'], both['accuracy'], strict=True) -> zip(", "it is symmetric"),
        ("means = [harmonic_mean(", "strict=True -> (left out)", LENGTHS),
        ("means = [harmonic_mean(", "True -> False", LENGTHS),
        ("own = own.merge(scored[keys]", "on=[*NAMES, 'seed'] -> (left out)", SHARED),
        ("averaged = averaged.stack(", "future_stack=True -> (left out)", STACK),
        ("averaged = averaged.stack(", "True -> False", STACK),
        ("columns = pd.MultiIndex.from_frame(sets", "on=places -> (left out)", SHARED),
    ),
    "fig/langevin.py": (
        ("return draw((count, *shape)", "device=generator.device -> (left out)", GPU),
        ("images = (2 * uniform - 1)", "(2 * uniform - 1).to(chains.device) -> ", GPU),
        ("images = (2 * uniform - 1)", "(2 * uniform - 1).to(chains.device)[chains].contiguous(", SPEED),
        ("images = (2 * uniform - 1)", "memory_format=torch.channels_last -> (left out)", SPEED),
        ("running, none, zeros = ", "0 -> 1", NAN),
        ("return torch.autograd.grad(logits, leaf, towards", "towards.to(logits.dtype) -> ", "autograd casts it too"),
        ("gradient = backward(", "torch.zeros_like(leaf) -> leaf", STILL),
        ("gradient = backward(", "torch.zeros_like -> torch.ones_like", STILL),
        ("return noise_of(", "noise_of(torch.randn, state.images.shape[1:], state.count, generator).to(", GPU),
    ),
    "fig/sampler.py": (
        ("STRIDE = 5", "5 -> 6", SPEED),
        ("FEW = 64", "64 -> 65", SPEED),
        ("stride: int = 0", "0 -> 1", SPEED),
        ("fold_network(network, images", ":1 -> :", SPEED),
        ("fold_network(network, images", "1 -> 2", SPEED),
        ("stride = stride or (STRIDE", "1 -> 2", SPEED),
        ("chains = chains.to(device_of(", "chains.to(device_of(network, generator)) -> chains", GPU),
    ),
}


def reason_of(change: Change) -> str | None:
    """Why no test can notice a change, where that is so."""
    for line, text, reason in EQUIVALENT.get(change.module, ()):
        if change.source.startswith(line) and change.text.startswith(text):
            return reason
    return None


def functions_of(names: dict[str, Any], module: str) -> dict[str, FunctionType]:
    """The functions and methods that a module defines, by their qualified names."""
    own = [value for value in names.values() if getattr(value, "__module__", None) == module]
    inner = [each for value in own if isinstance(value, type) for each in vars(value).values()]
    functions = [unwrap(value) for value in (*own, *inner) if isinstance(value, FunctionType)]
    return {value.__qualname__: value for value in functions if value.__module__ == module}


def apply(change: Change) -> None:
    """Put the changed code in place of the module's, in this process, for all who imported it."""
    module = sys.modules[change.module.removesuffix(".py").replace("/", ".")]
    scratch = ModuleType(module.__name__)
    sys.modules[module.__name__] = scratch  # a dataclass looks for its module
    exec(change.code, vars(scratch))
    sys.modules[module.__name__] = module
    changed = functions_of(vars(scratch), module.__name__)
    for name, function in functions_of(vars(module), module.__name__).items():
        function.__code__, function.__defaults__ = changed[name].__code__, changed[name].__defaults__
        function.__kwdefaults__ = changed[name].__kwdefaults__
    if not change.in_function:
        old = {name: value for name, value in vars(module).items() if not isinstance(value, FunctionType)}
        ours = [other for name, other in sys.modules.items() if name.startswith(("fig", "support", "test_"))]
        for name, value in old.items():
            for other in ours if not name.startswith("__") else ():
                if vars(other).get(name) is value:
                    setattr(other, name, vars(scratch)[name])


def passes(items: Sequence[pytest.Item], change: Change, limits: Sequence, times: Any, loaded: Path) -> bool:
    """Whether all tests pass in a child, with a change, each within its limit of seconds.

    The child writes down how long each took, and which modules they imported on their way where all pass.
    """
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        apply(change)
        for number, (item, following) in enumerate(zip(items, [*items[1:], None], strict=True)):
            signal.alarm(int(limits[number]))
            began = time.monotonic()
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            times[number] = time.monotonic() - began
            if item.session.testsfailed:
                os._exit(1)
        loaded.write_text("\n".join(sys.modules))
        os._exit(0)
    finally:
        os._exit(1)


class Mutation:
    """A pytest plugin that runs the collected tests once for each change instead of once."""

    def __init__(self, module: str, sample: int, seed: int, loaded: Path) -> None:
        self.module, self.sample, self.seed, self.loaded = module, sample, seed, loaded
        self.missed: list[Change] = []
        self.changes = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not item.name.startswith(LEFT_OUT)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        changes = list(list_changes(self.module))
        if self.sample and self.sample < len(changes):
            changes = random.Random(self.seed).sample(changes, self.sample)
        self.changes = len(changes)
        times = RawArray("d", len(session.items))  # that a child writes and this process reads
        code = compile((ROOT / self.module).read_text(), self.module, "exec")
        same = Change(self.module, 0, "", "", False, code)  # put in place as a change is, it must break nothing
        if not passes(session.items, same, [600] * len(times), times, self.loaded):
            raise pytest.UsageError(f"the tests of {self.module} fail without a change")
        order = sorted(range(len(times)), key=times.__getitem__)  # the quickest first
        items, limits = [session.items[place] for place in order], [4 + 5 * times[place] for place in order]
        for name in self.loaded.read_text().splitlines():  # once here instead of in every child
            with suppress(Exception):
                import_module(name)
        gc.freeze()  # a child's collector then touches, and copies, no memory of this process
        if not passes(items, same, limits, times, self.loaded):
            raise pytest.UsageError(f"the tests of {self.module} depend on their order")
        for change in tqdm(changes, self.module, unit="change"):
            if passes(items, change, limits, times, self.loaded):
                self.missed.append(change)
                reason = f"\n    cannot be noticed: {reason_of(change)}" if reason_of(change) else ""
                tqdm.write(f"{self.module}:{change.line}: {change.text}\n    {change.source}{reason}", sys.stdout)
        return True


def run(module: str, sample: int, seed: int) -> bool:
    """Print what the tests of a module do not notice; whether they notice enough."""
    with TemporaryDirectory() as scratch:
        plugin = Mutation(module, sample, seed, Path(scratch, "modules"))
        options = ["-qq", "--no-header", "-s", "-pno:cacheprovider", "-otimeout=0", f"--basetemp={scratch}/tests"]
        marks = "not pipeline and not long"
        code = pytest.main([*options, "-m", marks, *(f"{ROOT}/tests/{name}" for name in TESTS[module])], [plugin])
    if not plugin.changes or code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(f"the tests of {module} could not be run")
    open_changes = [change for change in plugin.missed if not reason_of(change)]
    explained = len(plugin.missed) - len(open_changes)
    noticed = plugin.changes - len(plugin.missed)
    share = noticed / max(noticed + len(open_changes), 1)
    print(f"{module}: {plugin.changes} changes, {noticed} noticed, {explained} cannot be: {share:.1%}")
    return share >= LEAST


def main(*modules: str, sample: int = 0, seed: int = 0) -> None:
    """Change modules in one place at a time, and print the changes that their tests do not notice.

    Fails where the tests of a module notice less than 95 % of the changes that can be noticed.
    Example: python tests/mutation.py fig/energy.py --sample 20

    Args:
        modules: files, such as fig/energy.py; all that have a row in this script unless given.
        sample: so many changes of each module, drawn at random; all of them where it is 0.
        seed: of the draw.
    """
    unknown = [module for module in modules if module not in TESTS]
    if unknown:
        raise SystemExit(f"no tests are listed for {', '.join(unknown)}. Available: {', '.join(TESTS)}")
    enough = [run(module, sample, seed) for module in modules or TESTS]
    if not all(enough):
        raise SystemExit(1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a forked child has one thread
    sys.path.insert(0, str(ROOT))
    cyclopts.run(main)
