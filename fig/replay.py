"""Functions of tensors as CUDA graphs: one launch for all their operations, over tensors that stay where they are."""

import logging
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

MOST = 8  # recordings of a network that are kept: each holds its tensors, and graphs of some megabytes

Function = Callable[[Sequence[Tensor]], Sequence[Tensor]]  # gives new values of its first tensors, and changes none
Capture = Callable[[torch.cuda.CUDAGraph], torch.cuda.graph]  # the with-block that is captured

log = logging.getLogger("fig")


class Recording:
    """Tensors at fixed places, and the functions that were recorded over them."""

    def __init__(self, values: Sequence[Tensor], capture: Capture) -> None:
        """Places like `values`, not filled yet, and how graphs are captured."""
        self.places = [torch.empty_like(value) for value in values]
        self.capture = capture
        self.replays: dict[Hashable, Callable[[], None] | None] = {}

    def fill(self, values: Sequence[Tensor]) -> None:
        """Copy `values` into the places."""
        for place, value in zip(self.places, values, strict=True):
            place.copy_(value)

    def run(self, name: Hashable, function: Function) -> None:
        """Replace the values in the first places by what a function makes of all of them.

        It is recorded the first time that its name is met, and replayed from then on; where there is no GPU or it
        cannot be recorded, it is called.
        """

        def body() -> None:
            for place, value in zip(self.places, function(self.places), strict=False):
                place.copy_(value)

        if name not in self.replays:
            self.replays[name] = self.record(function, body)
        replayed = self.replays[name] or body
        replayed()

    def record(self, function: Function, body: Callable[[], None]) -> Callable[[], None] | None:
        """What replays the body of a function, or None where it is not recorded."""
        if not self.places[0].is_cuda:
            return None
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self.places[0].device):
                warm_up(lambda: function(self.places))
                with self.capture(graph):
                    body()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("no CUDA graph of this network can be recorded, so sampling is slower: %s", error)
            return None
        return graph.replay


def warm_up(function: Callable[[], object]) -> None:
    """Run a function once on another stream, so that libraries do the set-up that no graph may record."""
    side, current = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        function()
    current.wait_stream(side)


class Recordings:
    """The recordings of one network, the one used last at the end."""

    def __init__(self) -> None:
        self.found: dict[Hashable, Recording] = {}
        pool = torch.cuda.graph_pool_handle() if torch.cuda.is_available() else None
        self.capture: Capture = partial(torch.cuda.graph, pool=pool)  # one memory for all, for no two run at a time

    def of(self, name: Hashable, values: Sequence[Tensor]) -> Recording:
        """The recording of this name, its places filled with `values`."""
        recording = self.found.pop(name, None) or Recording(values, self.capture)
        self.found[name] = recording
        if len(self.found) > MOST:
            del self.found[next(iter(self.found))]
        recording.fill(values)
        return recording


_OF: "WeakKeyDictionary[nn.Module, Recordings]" = WeakKeyDictionary()


def recordings_of(network: nn.Module) -> Recordings:
    """The recordings of a network, kept as long as it is."""
    if network not in _OF:
        _OF[network] = Recordings()
    return _OF[network]


def addresses_of(network: nn.Module) -> tuple[int, ...]:
    """Where the weights and buffers of a network are, which is where its graphs will look for them."""
    modules = list(network.modules())
    held = (value for module in modules for group in (module._parameters, module._buffers) for value in group.values())
    return tuple(value.data_ptr() for value in held if value is not None)


def replays_on(device: torch.device) -> bool:
    """Whether functions are replayed on a device: on a GPU, where launching operations takes longer than they do."""
    return device.type == "cuda"
