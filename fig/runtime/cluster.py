"""The only module that uses Ray: run a function on Ray Train workers, in a running cluster or one for the call."""

import logging
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from fig.runtime import slurm
from fig.runtime.ending import own_handlers
from fig.runtime.record import Times
from fig.runtime.scratch import place_for_sockets, scratch_folder
from fig.settings import Resources

if TYPE_CHECKING:
    from ray.train.torch import TorchConfig

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this interpreter, not one that `uv run` would make
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the default of 2 s is how late the end of a job is noticed
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the behaviour that Ray warns it will change to
    "RAY_enable_worker_prestart": "0",  # spare workers would each import Ray for nothing
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",  # with Ray's 15, other processes of the machine take 97 % of a core from a worker
}

# A Ray of our own on this machine, and what its workers exchange, cannot be reached from another one.
LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all of Ray listens at 127.0.0.1, as it does on other systems than Linux
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}

TOO_BUSY = "timed out during startup"  # what Ray says where it has not started in time
# Each would start a process, one after the other: one for data that Ray holds, and one for what a dead driver leaves,
# which in a Ray of our own ends with it.
SPARED = ("DatasetsCallback", "PlacementGroupCleanerCallback")

RESTARTS = 2  # of the workers, when one of them dies
OBJECT_STORE = 100 * 2**20  # bytes; data and weights go through files, not through Ray

log = logging.getLogger("fig")

Argument = TypeVar("Argument")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a function on its workers."""

    value: Any  # of the worker of rank 0
    error: Exception | None  # an error that trying again would only repeat
    seconds: float  # that the function itself took
    device: str = ""  # that the function computed on


FINAL = (ArithmeticError, ValueError, OSError)


def outcome_of(call: dict[str, Any]) -> Outcome:
    """Run the call's function on a worker; return errors as values, so that only a worker's death is retried."""
    began = time.monotonic()
    try:
        value = call["function"](call["argument"])
        return Outcome(value, None, time.monotonic() - began, name_device(call["gpus"]))
    except FINAL as error:
        return Outcome(None, error, time.monotonic() - began)


def name_device(gpus: float) -> str:
    """Return the name of the device of a worker with this many GPUs: its GPU, or its CPU and instruction set."""
    import torch

    if gpus and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    stated = Path("/proc/cpuinfo")
    lines = stated.read_text().splitlines() if stated.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def over_nodes(resources: Resources) -> bool:
    """Whether the workers belong on several nodes of this job."""
    return resources.nodes > 1 and slurm.in_job() and not os.environ.get("RAY_ADDRESS")


@contextmanager
def cluster_for(resources: Resources) -> Iterator[dict[str, Any]]:
    """Provide the cluster that RAY_ADDRESS names, else one just large enough, over a job's nodes or in this process.

    Yields the arguments of `ray.init`.
    """
    import ray

    if os.environ.get("RAY_ADDRESS"):
        yield {}
    elif over_nodes(resources):
        on_a_node = resources.workers // resources.nodes
        share = {
            "num-cpus": on_a_node * resources.cpus_per_worker,
            "num-gpus": math.ceil(on_a_node * resources.gpus_per_worker),
            "object-store-memory": OBJECT_STORE,
        }
        with slurm.ray_over(resources.nodes, ray.util.get_node_ip_address(), share) as address:
            yield {"address": address}
    else:
        with scratch_folder(place_for_sockets()) as folder:
            yield {
                "address": "local",  # otherwise Ray joins any cluster that `ray start` left on this node
                "num_cpus": resources.workers * resources.cpus_per_worker,
                "object_store_memory": OBJECT_STORE,
                "include_dashboard": False,
                "_temp_dir": str(folder),
            }


def start_ray(arguments: dict[str, Any]) -> None:
    """Call `ray.init`; try again if a busy node needs longer to start than Ray's 30 s, which cannot be changed."""
    import psutil
    import ray

    this = psutil.Process()
    others = this.children(recursive=True)
    for last in (False, False, True):
        try:
            ray.init(**arguments, log_to_driver=False, logging_level="ERROR")  # type: ignore[arg-type]  # a name will do
        except Exception as error:  # Ray raises no narrower one
            if last or TOO_BUSY not in str(error):
                raise
            log.warning("Ray did not start in time, this machine is busy: starting it again")
            for process in set(this.children(recursive=True)) - set(others):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        else:
            return


@contextmanager
def connect_to_cluster(resources: Resources) -> Iterator[None]:
    """Connect to a cluster for these resources inside the block."""
    import ray

    with cluster_for(resources) as arguments:
        with own_handlers():
            start_ray(arguments)
        try:
            yield
        finally:
            ray.shutdown()


def run_on_workers(
    function: Callable[[Argument], Value], argument: Argument, resources: Resources, times: Times
) -> Value:
    """Call `function(argument)` on every worker of a Ray `TorchTrainer`; return the value of rank 0.

    The seconds that the function took there are added to `times.work`, the others to `times.ray`, and `times.device`
    is where it computed. Without workers the function is called in this process, and Ray is not imported.

    Uses the cluster that RAY_ADDRESS names, else its own, which ends with the call. A lost worker is replaced and the
    function is called again, so it must resume from what it saved. Raises the function's own error, and RuntimeError
    if workers were lost more than RESTARTS times or Ray itself died. When its raylet dies, Ray may also end the driver
    with exit status 1 and Ray's own message.
    """
    began = time.monotonic()
    for name in [name for name in os.environ if name.endswith("_NUM_THREADS")]:
        del os.environ[name]  # Snakemake's number is for all workers together; Ray gives each its own
    call = {"function": function, "argument": argument, "gpus": resources.gpus_per_worker}
    outcome = run_trainer(call, resources) if resources.workers else run_here(call, resources)
    if outcome.error is not None:
        raise outcome.error
    times.work += outcome.seconds
    times.device = outcome.device
    times.ray += time.monotonic() - began - outcome.seconds
    value: Value = outcome.value
    return value


def meeting_in(folder: str) -> "TorchConfig":
    """Torch's process group of workers on one machine, which find each other by a file in a folder of this user.

    By default, torch opens a port for this, to every machine and without a password.
    """
    import ray
    from ray.train.torch import TorchConfig
    from ray.train.torch.config import _setup_torch_process_group, _TorchBackend

    class Meeting(_TorchBackend):
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            size, file = len(worker_group), f"file://{folder}/{uuid4()}"
            group = (size, file, backend_config.timeout_s)
            joined = (_setup_torch_process_group, backend_config.backend)
            ray.get([worker_group.execute_single_async(rank, *joined, rank, *group) for rank in range(size)])

    class Met(TorchConfig):
        @property
        def backend_cls(self) -> type[_TorchBackend]:
            return Meeting

    return Met()


def run_here(call: dict[str, Any], resources: Resources) -> Outcome:
    """Run the call's function in this process, on as many threads as a worker would have."""
    import torch

    torch.set_num_threads(resources.cpus_per_worker)
    return outcome_of(call)


def run_trainer(call: dict[str, Any], resources: Resources) -> Outcome:
    """Run the call's function on Ray's workers."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    own = not os.environ.get("RAY_ADDRESS")
    alone = own and not over_nodes(resources)
    if own:  # Ray looks for these when it is imported
        os.environ |= slurm.guard() | (LOOPBACK if alone else {})
    from ray.exceptions import RayError
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchTrainer

    per_worker = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    with scratch_folder() as storage, connect_to_cluster(resources):
        group: dict[str, Any] = {"torch_config": meeting_in(str(storage))} if alone else {}
        trainer = TorchTrainer(
            outcome_of,  # type: ignore[arg-type]  # Train hands what a loop returns to the driver
            train_loop_config=call,
            **group,
            scaling_config=ScalingConfig(
                num_workers=resources.workers,
                use_gpu=resources.gpus_per_worker > 0,
                resources_per_worker={name: amount for name, amount in per_worker.items() if amount},
                placement_strategy="SPREAD" if resources.nodes > 1 else "PACK",
            ),
            run_config=RunConfig(
                storage_path=str(storage),
                name="job",
                failure_config=FailureConfig(max_failures=RESTARTS),
                logging_config=LoggingConfig(log_level="ERROR"),  # type: ignore[call-arg]  # of Train v2, the default
            ),
        )
        if own:
            make = trainer._create_default_callbacks  # type: ignore[attr-defined]  # of Train v2, the default
            trainer._create_default_callbacks = lambda: [  # type: ignore[attr-defined]
                each for each in make() if type(each).__name__ not in SPARED
            ]
        trainer._register_sigint_handler = lambda controller: None  # type: ignore[attr-defined]  # fig.runtime.ending's
        try:
            outcome: Outcome = trainer.fit().return_value  # type: ignore[attr-defined]  # of Train v2, the default
        except TrainingFailedError as error:
            raise RuntimeError(f"the workers failed {RESTARTS + 1} times, the last time by: {error}") from error
        except RayError as error:  # of the raylet or Train's controller, not of a worker
            reason = str(error).splitlines()[0]
            raise RuntimeError(f"Ray died; run this again, and it resumes from what it saved: {reason}") from error
    return outcome
