"""VOS against PyTorch's Gaussians, the authors' formula and one optimiser over all that learns together."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK, Player
from fig.methods.vos import UNCERTAINTY, Uncertainty, Vos, draw_outliers
from fig.training import update

SHAPE = (3, 8, 8)
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
CORNER = torch.zeros(3, 1, 1)


def seeded(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def network_of() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5), nn.ReLU(), nn.Linear(5, 4))


def batch_of(seed: int = 0, begins: bool = True) -> Batch:
    return Batch(torch.rand(6, *SHAPE, generator=seeded(seed)), LABELS, CORNER, CORNER + 1, begins)


def ready(method: Vos, network: nn.Module) -> Player:
    """The companion of a network, its queues full of features around a mean of each class."""
    player = method.companions(network, SHAPE, seeded(1))[UNCERTAINTY]
    queue = player.module.queue
    queue.copy_(torch.randn(queue.shape, generator=seeded(2)) + torch.arange(4.0)[:, None, None])
    player.module.filled.fill_(queue.shape[1])
    return player


def test_an_outlier_is_the_least_likely_of_all_draws_by_torchs_density():
    queue = torch.randn(4, 30, 5, generator=seeded()) * torch.arange(1.0, 6) + torch.arange(4.0)[:, None, None]
    found = draw_outliers(queue, 200, seeded(3))
    source, centred = seeded(3), (queue - queue.mean(1, keepdim=True)).flatten(0, 1)
    covariance = centred.T @ centred / 120 + 1e-4 * torch.eye(5)
    for mean, outlier in zip(queue.mean(1), found, strict=True):
        gaussian = torch.distributions.MultivariateNormal(mean, covariance)
        drawn = mean + torch.randn(200, 5, generator=source) @ gaussian.scale_tril.T
        torch.testing.assert_close(outlier, drawn[gaussian.log_prob(drawn).argmin()], rtol=1e-4, atol=1e-4)


def authors(uncertainty: Uncertainty, logits: Tensor, inside: Tensor) -> Tensor:
    """The mean logistic loss as the authors write it, row by row."""
    energies = []
    for row in logits:
        largest = row.max()
        energies.append(largest + torch.log(torch.sum(F.relu(uncertainty.weights) * torch.exp(row - largest))))
    return F.cross_entropy(uncertainty.logistic(torch.stack(energies).view(-1, 1)), inside.long())


def test_an_energy_of_equal_weights_is_the_log_of_the_sum_of_exponentials():
    uncertainty = Uncertainty("", 4, 5, 3, seeded())
    with torch.no_grad():
        uncertainty.weights.fill_(1)
    logits, other = torch.randn(6, 4, generator=seeded()), torch.randn(2, 4, generator=seeded(1))
    answers = uncertainty.logistic(torch.cat([logits, other]).logsumexp(1)[:, None]).log_softmax(1)
    torch.testing.assert_close(uncertainty(logits, other), -answers[:6, 1].sum() - answers[6:, 0].sum())


def test_network_and_companion_take_the_step_of_one_optimiser_on_one_loss():
    method, network, batch = Vos(weight=0.5, start_epoch=0, queue=7, draws=50), network_of(), batch_of()
    companion = ready(method, network)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)

    other, part = deepcopy(network), deepcopy(companion.module)
    weights = [*other.parameters(), *part.parameters()]
    together = torch.optim.SGD(weights, 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    for seed in (5, 6):
        update({NETWORK: Player(network, optimizer), UNCERTAINTY: companion}, method, batch, seeded(seed))

        for image, label in zip(other[:3](batch.whole).detach(), LABELS, strict=True):
            part.queue[label] = torch.cat([part.queue[label][1:], image[None]])
        outliers = other[3](draw_outliers(part.queue, 50, seeded(seed)))
        logits = other(batch.whole)
        unsure = authors(part, torch.cat([logits, outliers]), torch.arange(10) < 6)
        (F.cross_entropy(logits, LABELS) + 0.5 * unsure).backward()
        together.step(), together.zero_grad()
    for mine, expected in zip([*network.parameters(), *companion.module.parameters()], weights, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(companion.module.queue, part.queue)


def test_queues_keep_the_newest_features_of_their_class():
    uncertainty, seen = Uncertainty("", 4, 5, 3, seeded()), {index: [] for index in range(4)}
    for seed in range(3):
        features = torch.rand(6, 5, generator=seeded(seed))
        uncertainty.remember(features, LABELS)
        for row, label in zip(features, LABELS.tolist(), strict=True):
            seen[label].append(row)
        assert uncertainty.filled.tolist() == [min(3, len(rows)) for rows in seen.values()]
    assert uncertainty.full
    for queue, rows in zip(uncertainty.queue, seen.values(), strict=True):
        assert queue.equal(torch.stack(rows[-3:]))


def test_outliers_come_from_the_stated_epoch_on_once_every_queue_is_full():
    network, method = network_of(), Vos(start_epoch=2, queue=2, draws=5)
    companion = method.companions(network, SHAPE, seeded())[UNCERTAINTY].module
    counts = []
    for begins in (True, False, True, False, True, False):  # three epochs of two batches
        losses = list(method.losses({NETWORK: network, UNCERTAINTY: companion}, batch_of(0, begins), seeded()))
        counts.append([loss.player for loss in losses])
    assert counts == [[NETWORK]] * 4 + [[NETWORK, UNCERTAINTY]] * 2
    method = Vos(start_epoch=0, queue=2, draws=5)
    players = {NETWORK: network, UNCERTAINTY: method.companions(network, SHAPE, seeded())[UNCERTAINTY].module}
    assert [len(list(method.losses(players, batch_of(), seeded()))) for _ in range(3)] == [1, 1, 2]
