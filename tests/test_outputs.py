"""Whatever a classifier's forward pass gives, its logits are found, or it is refused in a sentence."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models import GoogLeNet

from fig.networks.outputs import LogitsAlone, as_logits

IMAGES = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Giving(nn.Module):
    """A classifier whose output is made of its logits."""

    def __init__(self, form: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.body, self.form = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.Dropout(), nn.Linear(192, 4)), form

    def forward(self, images):
        return self.form(self.body(images))


FORMS = {
    "tuple": lambda logits: (logits, logits + 1),
    "mapping": lambda logits: {"loss": logits.sum(), "logits": logits},
    "attribute": lambda logits: SimpleNamespace(logits=logits, loss=None),
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_found_in_what_a_network_gives(form: str):
    network = Giving(FORMS[form]).eval()
    wrapped = as_logits(network, IMAGES)
    assert isinstance(wrapped, LogitsAlone) and wrapped.model is network
    assert wrapped(IMAGES).equal(network.body(IMAGES))


def test_a_network_that_gives_a_tensor_is_used_itself_and_no_look_changes_it():
    network = Giving(lambda logits: logits).train()
    network.body[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert as_logits(network, IMAGES) is network
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert network.training and not network.body[2].training and torch.get_rng_state().equal(state)


def test_heads_that_give_logits_in_training_alone_are_left_out():
    network = GoogLeNet(num_classes=4, init_weights=False).train()
    images = torch.rand(2, 3, 64, 64)
    wrapped = as_logits(network, images)
    assert isinstance(wrapped, LogitsAlone) and wrapped(images).shape == (2, 4)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Giving(lambda logits: {"features": logits}), r"the network gives dict of features, in which there are no log"),
        (Giving(lambda logits: None), r"the network gives NoneType, in which there are no logits"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), r"Sequential gives torch.float32 \(1, 4, 6, 6\) where logits"),
        (Giving(lambda logits: logits.argmax(1, keepdim=True)), r"Giving gives torch.int64 \(1, 1\) where logits"),
        (Giving(lambda logits: logits).bfloat16(), "Giving has weights of torch.bfloat16: call its float"),
        (Giving(lambda logits: logits).to("meta"), "Giving is on the meta device: load its weights first"),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 4)), r"Sequential cannot take torch.float32 images of shape \(1, 3,"),
    ],
)
def test_what_has_no_logits_is_refused_in_a_sentence(network: nn.Module, reason: str):
    with pytest.raises(ValueError, match=reason):
        as_logits(network, IMAGES)


def test_a_compiled_program_is_refused_and_the_network_that_it_was_made_of_is_named_as_the_way():
    program = torch.export.export(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), (IMAGES,)).module()
    with pytest.raises(ValueError, match=r"is a compiled program \(.*\): use the network that it was made of"):
        as_logits(program, IMAGES)
