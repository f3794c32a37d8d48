"""Data: what is shipped, resized and cropped, prepared splits on disk, and batches of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms import CenterCrop, Resize

from fig.data.arrays import Split, description_of, open_split, write_description, write_images
from fig.data.augment import Augmentation, augment
from fig.data.batches import images_at, keep_all, source_on
from fig.data.catalogue import datasets_of, entries, ood_parts, recipe
from fig.data.packaged import photographs
from fig.data.prepare import fit, prepare
from fig.data.resample import centre, crop, resized, with_short_side

DATASETS = datasets_of(entries())


def shipped(folder: Path, name: str, split: str) -> Split:
    """A split of images that ship inside packages, prepared for 32 x 32."""
    has_train = name == "digits" and split == "test"
    train = description_of(folder / "32" / name / "train.npy") if has_train else None
    output = folder / "32" / name / f"{split}.npy"
    output.parent.mkdir(parents=True, exist_ok=True)
    prepare(output, [], recipe(name, split, 32, DATASETS, own=False), seed=0, train=train)
    return open_split(output)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Split]:
    folder = tmp_path_factory.mktemp("digits")
    return [shipped(folder, "digits", split) for split in ("train", "test")]


def test_digits_are_all_there_split_once_and_stratified(digits: list[Split]):
    train, test = digits
    assert (len(train.images), len(test.images)) == (1347, 450)
    assert train.images.shape[1:] == (32, 32, 3) and train.images.dtype == np.uint8
    assert not set(train.description.made["hashes"]) & set(test.description.made["hashes"])
    for label in range(10):
        share = (test.labels == label).sum() / ((test.labels == label).sum() + (train.labels == label).sum())
        assert share == pytest.approx(0.25, abs=0.01)


def test_a_split_knows_the_mean_and_deviation_of_its_pixels(digits: list[Split]):
    pixels = np.asarray(digits[0].images) / 255
    assert digits[0].description.mean == pytest.approx(pixels.mean((0, 1, 2)))
    assert digits[0].description.std == pytest.approx(pixels.std((0, 1, 2)))


@pytest.mark.parametrize("name", ["photos-r-antialias", "photos-c"])
def test_an_ood_set_has_a_thousand_different_images_of_the_id_size_and_repeats_itself(name: str, tmp_path: Path):
    first, again = (shipped(tmp_path / time, name, "test") for time in ("first", "again"))
    assert len(first.images) >= 1000 and first.images.shape[1:] == (32, 32, 3)
    assert len(np.unique(np.asarray(first.images).reshape(len(first.images), -1), axis=0)) > 0.99 * len(first.images)
    assert np.array_equal(first.images, again.images) and not len(first.labels)


def test_the_photographs_are_photographs():
    assert len(photographs()) >= 15
    assert all(p.ndim == 3 and p.shape[2] == 3 and min(p.shape[:2]) >= 256 for p in photographs())


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_crop_is_a_window_of_the_picture_and_small_pictures_are_enlarged():
    draw, picture = np.random.default_rng(0), noise(40, 50, 3)
    cut = np.asarray(crop(Image.fromarray(picture), 32, draw))
    windows = np.lib.stride_tricks.sliding_window_view(picture, (32, 32, 3)).reshape(-1, 32, 32, 3)
    assert (windows == cut).all((1, 2, 3)).any()
    assert crop(Image.fromarray(picture[:10, :20]), 32, draw).size == (32, 32)


def test_the_centre_is_the_middle_of_the_picture_resized_by_its_short_side():
    picture = Image.fromarray(noise(40, 64, 3))
    assert with_short_side(picture, 20).size == (32, 20)
    assert np.array_equal(np.asarray(centre(picture, 40)), np.asarray(picture)[:, 12:52])


@pytest.mark.parametrize("size", [(61, 90), (333, 500), (375, 300), (20, 24), (64, 64), (35, 32)])
def test_the_centre_is_what_torchvision_s_resize_and_centre_crop_give(size: tuple[int, int]):
    picture = Image.fromarray(noise(*size, 3))
    theirs = CenterCrop(32)(Resize(32)(picture))
    assert np.array_equal(np.asarray(centre(with_short_side(picture, 32), 32)), np.asarray(theirs))
    made = recipe("photos-r-centre", "test", 32, DATASETS, own=False)
    assert np.array_equal(np.asarray(fit(picture, 0, made, seed=0)), np.asarray(theirs))


@pytest.mark.parametrize("size", [(96, 80), (20, 24)])
def test_resamplers_are_torchs(size: tuple[int, int]):
    picture = noise(*size, 3)
    batch = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    modes = {"antialias": ("bilinear", True), "bilinear": ("bilinear", False), "nearest": ("nearest-exact", False)}
    for way, (mode, antialias) in modes.items():
        ours = np.asarray(resized(Image.fromarray(picture), (32, 32), way)).astype(int)
        theirs = F.interpolate(batch, (32, 32), mode=mode, antialias=antialias)[0].permute(1, 2, 0).round().numpy()
        assert abs(ours - theirs).max() <= 1, way


def test_a_name_that_is_no_ood_set_is_refused_with_what_is_allowed():
    assert ood_parts("tinyimagenet-r-nearest", DATASETS) == ("tinyimagenet", "nearest")
    assert ood_parts("lsun-c-odin", DATASETS) == ("lsun", "c-odin")
    assert ood_parts("lsun-r-centre", DATASETS) == ("lsun", "centre")
    for name in ("photos", "photos-r-cubic", "imagenet-c", "photos-r", "coco-r-odin", "cifar10-c"):
        with pytest.raises(ValueError, match="a name is <source>-c or <source>-r-<resampler>"):
            ood_parts(name, DATASETS)


def test_an_array_written_in_batches_is_the_array(tmp_path: Path):
    path, images = tmp_path / "test.npy", noise(1000, 4, 5, 3)
    written = write_images(path, (images[start : start + 7] for start in range(0, 1000, 7)))
    assert np.array_equal(np.load(path), images) and written.shape == images.shape


def test_an_array_that_does_not_fit_its_description_is_refused(tmp_path: Path):
    path = tmp_path / "test.npy"
    write_description(path, write_images(path, [np.zeros((3, 16, 16, 3), np.uint8)]), [], [], {})
    description = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(description | {"count": 4}))
    with pytest.raises(ValueError, match="prepare it again"):
        open_split(path)


def test_augmentation_crops_the_padded_image_and_mirrors_half(generator: torch.Generator):
    images = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=generator)
    padded = F.pad(images, (2,) * 4)
    mirrored = 0
    for one, around in zip(augment(images, Augmentation(7, 2, True), generator), padded, strict=True):
        windows = around.unfold(1, 7, 1).unfold(2, 7, 1)  # (3, 6, 6, 7, 7)
        straight = (windows == one[:, None, None]).all(4).all(3).all(0).any()
        flipped = (windows.flip(4) == one[:, None, None]).all(4).all(3).all(0).any()
        assert straight or flipped
        mirrored += int(flipped and not straight)
    assert 16 < mirrored < 48


def test_without_padding_and_mirroring_images_stay(generator: torch.Generator):
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=generator)
    assert augment(images, Augmentation(8), generator).equal(images)


def test_a_crop_larger_than_the_image_is_refused(generator: torch.Generator):
    with pytest.raises(ValueError, match="hold no crop of 11 a side"):
        augment(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), Augmentation(11, 1), generator)


def test_a_batch_holds_the_asked_rows(stripes: Split):
    batch = images_at(stripes, torch.tensor([7, 0]))
    assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), np.asarray(stripes.images)[[7, 0]])


def test_a_training_takes_the_same_images_from_memory_and_from_disk(stripes: Split):
    from_disk = source_on(stripes, torch.device("cpu"))
    from_memory = replace(from_disk, kept=keep_all(stripes, torch.device("cpu"), batch=7))
    assert from_disk.kept is None and len(from_disk) == len(from_memory.kept) == len(stripes.images)
    for rows in (torch.tensor([7, 0]), torch.arange(40)):
        (images, labels), (others, same) = (source.take(rows) for source in (from_disk, from_memory))
        assert images.equal(others) and labels.equal(same) and labels.equal(torch.from_numpy(stripes.labels)[rows])
