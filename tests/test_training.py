"""The training loop: its schedule, its batches, and that stopping and starting again changes nothing."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fig.checkpoint import FILES, Progress, load_checkpoint, save_checkpoint
from fig.data.arrays import Split
from fig.discriminator import Architecture, Discriminator
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK, Loss, Method, Player
from fig.methods.standard import Standard
from fig.methods.table import METHODS, build_method
from fig.settings import Augmentation, SamplerSettings, TrainingSettings
from fig.training import DivergedError, batch_rows, decay_at, iterations_of, optimizer_of, players_of, train, update

SETTINGS = TrainingSettings(learning_rate=0.05, iterations=7, batch_size=16, milestones=(0.5,))
AUGMENTATION = Augmentation(size=16, padding=1, flip=True)


QUICK = {"acet": {"steps": 2}, "vos": {"queue": 3, "draws": 20, "start_epoch": 1}}


def method_named(name: str) -> Method:
    method = build_method(name, QUICK.get(name, {}))
    return replace(method, sampler=SamplerSettings(max_steps=11)) if hasattr(method, "sampler") else method


def discriminator_for(method: Method, seed: int = 0) -> Discriminator:
    return Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16, head=method.head), seed)


def trained(data: Split, method: Method, folder: Path, stop: int = 7, key: str = "key", seed: int = 0):
    """Train from the checkpoint in `folder`, if there is one, to iteration `stop`, and leave one there."""
    discriminator = discriminator_for(method, seed)
    players = players_of(discriminator, method, SETTINGS, seed)
    progress = load_checkpoint(folder, key, players)
    steps = train(discriminator, players, data, method, SETTINGS, AUGMENTATION, seed=0, start=progress.done)
    for done, row in steps:
        progress = Progress(done, (*progress.rows, row))
        if done >= stop - 1:  # the last two, for the first of them to be the one before
            save_checkpoint(folder, key, players, progress)
        if done == stop:
            break
    return {name: player.module.state_dict() for name, player in players.items()}, progress.rows


def rows_of(settings: TrainingSettings, data: Split, method: Method):
    discriminator = discriminator_for(method)
    players = players_of(discriminator, method, settings, 0)
    return (row for _, row in train(discriminator, players, data, method, settings, Augmentation(16), 0))


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_training_gives_the_same_weights_and_history(name: str, stripes: Split, tmp_path: Path):
    method = method_named(name)
    undisturbed, history = trained(stripes, method, tmp_path / "a")
    trained(stripes, method, tmp_path / "b", stop=4)
    resumed, resumed_history = trained(stripes, method, tmp_path / "b", seed=9)
    for player, weights in undisturbed.items():
        assert all(value.equal(resumed[player][key]) for key, value in weights.items()), player
    assert history == resumed_history and len(history) == 7


@pytest.mark.parametrize("head", ["linear", "t2fnorm"])
@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if not row.only_head])
def test_a_method_trains_a_network_of_any_head_and_its_weights_keep_their_names(name: str, head: str, stripes: Split):
    method = method_named(name)
    discriminator = discriminator_for(method)
    discriminator = Discriminator(replace(discriminator.architecture, head=head), 0)
    before = {key: value.clone() for key, value in discriminator.network.state_dict().items()}
    players = players_of(discriminator, method, SETTINGS, 0)
    rows = [row for _, row in train(discriminator, players, stripes, method, SETTINGS, AUGMENTATION, seed=0)]
    after = discriminator.network.state_dict()
    assert before.keys() == after.keys() and discriminator.architecture.head == head
    assert not all(value.equal(after[key]) for key, value in before.items())
    assert len(rows) == 7 and all(math.isfinite(row["loss"]) for row in rows)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 0x10  # one bit of one weight
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_short, flipped, emptied, Path.unlink])
@pytest.mark.parametrize("files", [FILES[:1], FILES], ids=["the last", "both"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_the_same_weights(
    damage, files, stripes: Split, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    undisturbed, history = trained(stripes, Standard(), tmp_path / "a")
    trained(stripes, Standard(), tmp_path / "b", stop=4)
    for name in files:
        damage(tmp_path / "b" / name)
    resumed, resumed_history = trained(stripes, Standard(), tmp_path / "b")
    assert all(value.equal(resumed[NETWORK][key]) for key, value in undisturbed[NETWORK].items())
    assert history == resumed_history
    assert caplog.text.count("is damaged") == (0 if damage is Path.unlink else len(files))


def test_a_checkpoint_of_another_job_is_refused(stripes: Split, tmp_path: Path):
    trained(stripes, Standard(), tmp_path, stop=2)
    with pytest.raises(ValueError, match="belongs to job key, not to other: delete it"):
        trained(stripes, Standard(), tmp_path, key="other")


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_training_learns(precision: str, stripes: Split):
    rows = list(rows_of(replace(SETTINGS, iterations=30, precision=precision), stripes, Standard()))
    assert rows[-1]["loss"] < 0.2 * rows[0]["loss"] and rows[-1]["accuracy"] > 0.95


def test_weights_are_float32_in_every_precision(stripes: Split):
    settings = replace(SETTINGS, iterations=1, precision="bfloat16")
    discriminator = discriminator_for(Standard())
    kinds: set[torch.dtype] = set()
    discriminator.network.layer2.register_forward_hook(lambda module, inputs, output: kinds.add(output.dtype))
    players = players_of(discriminator, Standard(), settings, 0)
    list(train(discriminator, players, stripes, Standard(), settings, AUGMENTATION, 0))
    assert kinds == {torch.bfloat16}
    assert {p.dtype for p in discriminator.parameters()} == {torch.float32}


def test_a_loss_that_is_not_finite_stops_the_training_after_its_row(stripes: Split):
    rows, steps = [], rows_of(replace(SETTINGS, learning_rate=1e20), stripes, Standard())
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at iteration \d of 7"):
        rows.extend(steps)
    assert not torch.tensor(rows[-1]["loss"]).isfinite()


def test_a_sampler_that_fails_after_the_loss_did_is_reported_as_the_loss(stripes: Split):
    class Failing(Standard):
        def losses(self, players, batch, generator):
            if players[NETWORK].fc.weight.isnan().any():
                raise FloatingPointError("sampling stopped")
            for loss in super().losses(players, batch, generator):
                yield replace(loss, value=loss.value * torch.nan)

    with pytest.raises(DivergedError, match="the loss is nan at iteration 1 of 7"):
        list(rows_of(SETTINGS, stripes, Failing()))


def test_each_player_is_moved_by_its_own_loss_alone_before_the_next_is_asked_for():
    moves: list[float] = []

    class Duel(Method):
        def losses(self, players, batch, generator):
            network, rival = players[NETWORK], players["rival"]
            yield Loss((network.weight * rival.weight).sum(), player="rival")
            moves.append(rival.weight.item())
            yield Loss((network.weight * rival.weight).sum())
            moves.append(network.weight.item())

    def player(start: float) -> Player:
        module = nn.Linear(1, 1, bias=False)
        nn.init.constant_(module.weight, start)
        return Player(module, torch.optim.SGD(module.parameters(), lr=1.0))

    none = torch.zeros(1)
    players = {NETWORK: player(1), "rival": player(5)}
    row = update(players, Duel(), Batch(none, none, none, none), torch.Generator())
    assert moves == [4, -3]  # 5 - 1, then 1 - 4
    assert row == {"rival_loss": 5, "loss": 4}
    assert all(p.grad is None for each in players.values() for p in each.module.parameters())


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    epochs = [torch.cat([batch_rows(40, i, SETTINGS, 0) for i in range(e * 3, e * 3 + 3)]) for e in (0, 1)]
    assert all(epoch.sort().values.equal(torch.arange(40)) for epoch in epochs)
    assert not epochs[0].equal(epochs[1])


def test_the_learning_rate_falls_tenfold_at_each_milestone(stripes: Split):
    settings = TrainingSettings(learning_rate=0.1, epochs=10, milestones=(0.5, 0.75))
    decays = [decay_at(settings, progress) for progress in (0, 0.49, 0.5, 0.74, 0.75, 0.99)]
    assert decays == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert iterations_of(settings, 1000) == 80
    short = replace(settings, epochs=0, iterations=4)
    assert [row["learning_rate"] for row in rows_of(short, stripes, Standard())] == pytest.approx(
        [0.1, 0.1, 0.01, 1e-3]
    )


def test_a_cosine_takes_the_learning_rate_down_in_every_step_with_any_milestones(stripes: Split):
    settings = replace(SETTINGS, learning_rate=0.1, iterations=8, milestones=(0.5,), cosine_to=1e-6)
    wanted = [1e-6 + (0.1 - 1e-6) * 0.5 * (1 + math.cos(step / 8 * math.pi)) for step in range(8)]
    assert [row["learning_rate"] for row in rows_of(settings, stripes, Standard())] == pytest.approx(wanted)


def test_nesterovs_momentum_looks_ahead():
    weight = {}
    for nesterov in (False, True):
        network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(network.weight)
        settings = TrainingSettings(1.0, iterations=1, momentum=0.5, weight_decay=0, nesterov=nesterov)
        optimizer = optimizer_of(network, settings)
        for _ in range(2):
            network.weight.grad = torch.ones(1, 1)
            optimizer.step()
        weight[nesterov] = network.weight.item()
    assert weight == {False: -1 - 1.5, True: -1.5 - 1.75}  # a gradient of 1; with the momentum's next step in it
    with pytest.raises(ValueError, match="nesterov is true and momentum 0"):
        TrainingSettings(1.0, iterations=1, momentum=0, nesterov=True)


def test_a_length_is_asked_for_once_and_none_at_all_leaves_a_network_as_it_is(stripes: Split):
    with pytest.raises(ValueError, match="set one of them to 0"):
        TrainingSettings(learning_rate=0.1, epochs=1, iterations=1)
    assert list(rows_of(TrainingSettings(learning_rate=0.1), stripes, Standard())) == []
