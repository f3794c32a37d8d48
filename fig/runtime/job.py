"""Define a job: a frozen dataclass whose fields have roles. Its command line and its record follow from them.

Each stage defines one job. The job writes the same record when a shell, Snakemake or Python starts it.
"""

import gc
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_type_hints

from pydantic import BeforeValidator, ValidationError

from fig.runtime.ending import follow_snakemake, listen
from fig.runtime.locks import lock_beside, wait_for_lock
from fig.runtime.provenance import commit_of, fingerprint, module_hash
from fig.runtime.record import Origin, Record, Times, hash_input, read_record
from fig.runtime.scratch import scratch_folder, temporary_files_in
from fig.settings import Json, cached, explain, settings

T = TypeVar("T")

Work = Callable[..., Any]  # the heavy function of a job, loaded by its name


class Role(Enum):
    """The role of a field of a job."""

    INPUT = "input"  # a path; its content decides the result
    SETTING = "setting"  # a value that decides the result
    OUTPUT = "output"  # a path; the result goes there
    RUNTIME = "runtime"  # a value that does not change the result


def load_json(value: object) -> object:
    """Return the value of a JSON string, and any other value unchanged."""
    return json.loads(value) if isinstance(value, str) else value


AS_JSON = BeforeValidator(load_json)

Input = Annotated[T, Role.INPUT]
Setting = Annotated[T, Role.SETTING]
JsonSetting = Annotated[T, AS_JSON, Role.SETTING]  # one option of a command line, for any value
Output = Annotated[T, Role.OUTPUT]
Runtime = Annotated[T, Role.RUNTIME]


@settings(kw_only=True)
class Job:
    """The task of a stage. The stage's module has the name of the rule that runs it."""

    work: ClassVar[str] = ""  # module:function that does the heavy work; imported when the job runs

    def run(self, times: Times) -> None:
        """Make the outputs, and add the workers' seconds to `times`."""
        raise NotImplementedError

    def publish(self) -> None:
        """Publish the outputs and their record, for example in MLflow. By default, do nothing."""

    def record_path(self) -> Path | None:
        """Return the path of the record, or None for a job without a record."""
        raise NotImplementedError

    def modules(self) -> tuple[str, ...]:
        """Return further modules whose code decides the result, such as that of the chosen method."""
        return ()

    def code_modules(self) -> tuple[str, ...]:
        """Return all modules whose code, with their imports, decides the result."""
        work = self.work.partition(":")[0]
        return (type(self).__module__, *([work] if work else []), *self.modules())

    def load_work(self) -> Work:
        """Import and return the function that does the heavy work."""
        module, _, function = self.work.partition(":")
        work: Work = getattr(import_module(module), function)
        return work

    def factory(self) -> str:
        """Return the name of the module outside this project that makes the network, or an empty string."""
        return ""

    def inputs(self) -> Iterator[Path]:
        """Yield the paths whose content decides the result."""
        for name in names_by_role(type(self), Role.INPUT):
            value = getattr(self, name)
            yield from value if isinstance(value, tuple) else [value] * (value is not None)

    @classmethod
    def stage(cls) -> str:
        """Return the name of the stage, which is also the name of its rule."""
        return cls.__module__.rpartition(".")[2]

    def code(self) -> str:
        """Return the fingerprint of the code that decides the result."""
        own = code_of(*self.code_modules())
        with suppress(ModuleNotFoundError):  # the stage reports it when it makes the network
            return f"{own}-{module_hash(self.factory())[:16]}" if self.factory() else own
        return own

    def values(self, role: Role) -> dict[str, Json]:
        """Return the fields of a role as JSON values."""
        return {name: plain(getattr(self, name)) for name in names_by_role(type(self), role)}

    def origin(self) -> Origin:
        """Return the origin that the result would have now: its code, settings and inputs."""
        inputs = {str(path): hash_input(path) for path in self.inputs()}
        return Origin(self.stage(), self.code(), self.values(Role.SETTING), inputs)

    def words(self, *roles: Role) -> list[str]:
        """Return the options of the command line, of all roles or of some. Fields with their default are left out."""
        wanted = [name for role in roles or Role for name in names_by_role(type(self), role)]
        found = ((each, getattr(self, each.name)) for each in fields(self) if each.name in wanted)
        return [word for each, value in found for word in words_of(f"--{dash(each.name)}", value, default_of(each))]

    def command(self) -> str:
        """Return the command line that runs this job."""
        return shlex.join(["python", "-m", type(self).__module__, *self.words()])

    def absolute(self) -> Self:
        """Return the same job with absolute paths, for workers that start in another folder."""
        return replace(self, **{each.name: resolve(getattr(self, each.name)) for each in fields(self)})

    def execute(self, started: float | None = None) -> None:
        """Check that the inputs exist, make the outputs, and write the record next to them.

        If another process makes the same outputs, wait for it and use its result. Raises FileNotFoundError, which names
        the missing input, and the errors of `run`.
        """
        for each in self.inputs():
            if not each.exists():
                raise FileNotFoundError(f"{self.stage()}: there is no {each}")
        times = Times(started, max(0.0, time.time() - started)) if started else Times()
        path = self.record_path()
        if path is None:
            self.run(times)
            return
        with wait_for_lock(lock_beside(path), str(path)) as waited:
            origin, commit = self.origin(), commit_of()
            if waited and self.is_made(origin):
                return
            self.run(times)
            record = Record(origin, self.command(), self.values(Role.RUNTIME), times, commit)
            record.write(path)
            with times.measure("tracking"):
                self.publish()
            record.write(path)  # again, with the seconds of publishing

    def is_made(self, origin: Origin) -> bool:
        """Return whether the outputs exist and their record has this origin."""
        path = self.record_path()
        record = read_record(path) if path else None
        outputs = [getattr(self, name) for name in names_by_role(type(self), Role.OUTPUT)]
        return bool(record and record.origin.key == origin.key) and all(each.exists() for each in outputs)


@cached
def names_by_role(job: type[Job], role: Role) -> tuple[str, ...]:
    """Return the names of a job's fields that have this role."""
    hints = get_type_hints(job, include_extras=True)
    return tuple(each.name for each in fields(job) if role in getattr(hints[each.name], "__metadata__", ()))


@cache
def code_of(*modules: str) -> str:
    """Return the fingerprint of modules, computed once in a process."""
    return fingerprint(*modules)


def plain(value: object) -> Json:
    """Return a value in the types of JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def resolve(value: Any) -> Any:
    """Return a path as an absolute one, also within a tuple, and anything else unchanged."""
    if isinstance(value, tuple):
        return tuple(map(resolve, value))
    return value.resolve() if isinstance(value, Path) else value


def dash(name: str) -> str:
    """Return a field's name as an option spells it: with dashes."""
    return name.replace("_", "-")


def default_of(field: Field[Any]) -> Any:
    """Return the default of a field, or MISSING if it has none."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def words_of(option: str, value: object, default: object = MISSING) -> Iterator[str]:
    """Yield an option and its value as words of a command line, and no words for the default.

    Settings of single values and lists of them become one option each. Deeper settings become JSON.
    """
    if value == default or value is None:
        return
    if is_dataclass(value) and is_flat(value):
        for each in fields(value):
            inner = getattr(default, each.name) if type(default) is type(value) else default_of(each)
            yield from words_of(f"{option}.{dash(each.name)}", getattr(value, each.name), inner)
    elif is_dataclass(value) or isinstance(value, Mapping):
        yield from (option, json.dumps(plain(value), sort_keys=True))
    elif isinstance(value, tuple):
        outer, _, name = option.rpartition(".")
        empty = f"{outer}.empty-{name}" if outer else f"--empty-{name.removeprefix('--')}"
        yield from [word for each in value for word in (option, str(each))] or [empty]
    elif isinstance(value, bool):
        outer, _, name = option.rpartition(".")
        yield option if value else f"{outer}.no-{name}" if outer else f"--no-{name.removeprefix('--')}"
    else:
        yield from (option, str(value))


def is_flat(value: Any) -> bool:
    """Return whether the fields of a dataclass are single values, tuples of them, or flat dataclasses."""
    single = (str, int, float, bool, Path)
    for each in (getattr(value, field.name) for field in fields(value)):
        of_singles = isinstance(each, tuple) and all(isinstance(one, single) for one in each)
        if not (each is None or isinstance(each, single) or of_singles or (is_dataclass(each) and is_flat(each))):
            return False
    return True


def job_class(module: str) -> type[Job]:
    """Return the job that a stage's module defines."""
    stage = import_module(module)
    own = [each for each in vars(stage).values() if isinstance(each, type) and each.__module__ == module]
    (found,) = [each for each in own if issubclass(each, Job)]
    return found


@cached
def parser_of(job: type[Job]) -> Callable[..., Job]:
    """Build the parser of a stage's command lines from its job."""
    from cyclopts import App, Parameter

    # Without this, Cyclopts would split a JSON object and the names in it, which may have dots.
    whole = Parameter(accepts_keys=False, n_tokens=1)
    hints = get_type_hints(job, include_extras=True)
    stated = {
        name: Annotated[hint, whole] for name, hint in hints.items() if AS_JSON in getattr(hint, "__metadata__", ())
    }
    read = type(job.__name__, (job,), {"__annotations__": stated, "__module__": job.__module__, "__doc__": job.__doc__})
    app = App(name=f"python -m {job.__module__}", help=job.__doc__, help_format="plaintext", version_flags=[])

    @app.default
    def give(*, found: Annotated[read, Parameter(name="*")]) -> Job:  # type: ignore[valid-type]  # known at run time
        return job(**{each.name: getattr(found, each.name) for each in fields(job)})

    return app


def parse_words(job: type[Job], words: Sequence[str]) -> Job:
    """Return the job that a command line's options describe. Raises ValueError, in one sentence, if they are wrong."""
    from cyclopts import CycloptsError

    try:
        return parser_of(job)(words, print_error=False, exit_on_error=False, result_action="return_value")
    except CycloptsError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            raise ValueError(explain(cause, "")) from None
        raise ValueError(" ".join(str(error).split())) from None


def parse_command(command: str) -> Job:
    """Return the job of a command line from a log or a record. Raises ValueError for any other command."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="<>|;&")
    lexer.whitespace_split = True
    match list(lexer):
        case ["python", "-m", module, *rest] if module.startswith("fig.stages."):
            words = rest[:-3] if rest[-3:-1] == ["2", ">"] else rest
            return parse_words(job_class(module), words)
    raise ValueError(f"not a command of a stage: {command[:80]}")


def run_stage(module: str) -> None:
    """Run the job that this process's command line describes. An error is one sentence and exit status 1.

    The function imports the module again under its own name, because the objects that Ray sends to its workers must not
    be defined in `__main__`. Imported objects stay alive. So Python does not collect garbage while it parses the job
    and imports its work, and later leaves these objects out. This saves an eighth of the start.
    """
    gc.disable()
    import psutil

    from fig.runtime.command import announce, exit_on_error, leave

    started = psutil.Process().create_time()
    announce()
    with exit_on_error():
        listen()
        follow_snakemake()
        found = parse_words(job_class(module), sys.argv[1:])
        if found is not None:  # after --help there is no job
            if found.work:
                found.load_work()
            gc.freeze()
            gc.enable()
            with scratch_folder() as folder, temporary_files_in(folder):
                found.execute(started)
        leave()
