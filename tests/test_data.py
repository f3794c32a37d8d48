"""Data: what is shipped, how it is split and resized, and how batches are made."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fig.data.arrays import Split, open_split, write_split
from fig.data.augment import augment
from fig.data.catalogue import ID_DATASETS, ood_parts
from fig.data.packaged import digits, photographs
from fig.data.prepare import crop, prepared, resized


@pytest.fixture(scope="module")
def both_splits():
    return [prepared("digits", split, 32, 0, Path("nowhere")) for split in ("train", "test")]


def test_digits_are_all_there_split_once_and_stratified(both_splits):
    train, test = both_splits
    assert (len(train.images), len(test.images)) == (1347, 450)
    assert train.images.shape[1:] == (32, 32, 3) and train.images.dtype == np.uint8
    for label in range(10):
        share = test.labels.count(label) / (test.labels.count(label) + train.labels.count(label))
        assert share == pytest.approx(0.25, abs=0.01)


def test_the_seed_decides_the_split():
    first, again, other = (digits("test", seed)[1] for seed in (0, 0, 1))
    assert first == again != other


def test_the_catalogue_knows_the_pixels_of_digits(both_splits):
    pixels = both_splits[0].images / 255
    known = ID_DATASETS["digits"]
    assert known.mean == pytest.approx(pixels.mean((0, 1, 2)), abs=2e-3)
    assert known.std == pytest.approx(pixels.std((0, 1, 2)), abs=2e-3)


@pytest.mark.parametrize("name", ["photos-r-antialias", "photos-c"])
def test_an_ood_set_has_a_thousand_different_images_of_the_id_size_and_repeats_itself(name: str):
    first, again = (prepared(name, "test", 32, 0, Path("nowhere")) for _ in range(2))
    assert len(first.images) >= 1000 and first.images.shape[1:] == (32, 32, 3)
    assert len(np.unique(first.images.reshape(len(first.images), -1), axis=0)) > 0.99 * len(first.images)
    assert np.array_equal(first.images, again.images) and not first.labels


def test_the_photographs_are_photographs():
    assert len(photographs()) >= 15
    assert all(p.ndim == 3 and p.shape[2] == 3 and min(p.shape[:2]) >= 256 for p in photographs())


def test_a_crop_is_a_window_of_the_picture_and_small_pictures_are_enlarged(generator):
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    cut = crop(picture, 32, draw)
    windows = np.lib.stride_tricks.sliding_window_view(picture, (32, 32, 3)).reshape(-1, 32, 32, 3)
    assert (windows == cut).all((1, 2, 3)).any()
    assert crop(picture[:10, :20], 32, draw).shape == (32, 32, 3)


def test_resamplers_differ_and_antialias_is_pillows():
    picture = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)
    made = {way: resized(picture, 32, way)[0].astype(int) for way in ("antialias", "bilinear", "nearest")}
    pillow = np.asarray(Image.fromarray(picture[0]).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert abs(made["antialias"] - pillow).max() <= 1
    assert made["antialias"].std() < made["bilinear"].std()
    assert set(made["nearest"].ravel()) <= set(picture.ravel().tolist())


def test_a_users_own_folders_become_splits(tmp_path: Path):
    for place in ("svhn/train/one", "svhn/train/two", "lsun/deep/er"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        for number in range(3):
            Image.new("L", (40, 36), 50 * number).save(folder / f"{number}.png")
    train = prepared("svhn", "train", 32, 0, tmp_path)
    assert train.images.shape == (6, 32, 32, 3) and train.labels == [0, 0, 0, 1, 1, 1]
    assert train.classes == ["one", "two"]
    assert prepared("lsun-c", "test", 32, 0, tmp_path).images.shape == (3, 32, 32, 3)


def test_missing_images_are_named_with_their_place(tmp_path: Path):
    with pytest.raises(OSError, match="coco"):
        prepared("coco-c", "test", 32, 0, tmp_path)


def test_a_name_that_is_no_ood_set_is_refused_with_what_is_allowed():
    assert ood_parts("tinyimagenet-r-nearest") == ("tinyimagenet", "nearest")
    for name in ("photos", "photos-r-cubic", "imagenet-c", "photos-r"):
        with pytest.raises(ValueError, match="a name is <source>-c or <source>-r-<resampler>"):
            ood_parts(name)


def test_a_prepared_split_comes_back_as_it_was_written(stripes: Split, tmp_path: Path):
    path = tmp_path / "16" / "copy" / "test.npy"
    write_split(path, np.asarray(stripes.images), stripes.description.labels, ["a", "b"], {"seed": 0})
    opened = open_split(path)
    assert np.array_equal(opened.images, stripes.images) and opened.labels.equal(stripes.labels)
    assert opened.description.sha256 == stripes.description.sha256
    assert opened.description.dataset == "copy" and not list(tmp_path.glob("**/.partial*"))


def test_an_array_that_does_not_fit_its_description_is_refused(tmp_path: Path):
    path = tmp_path / "16" / "copy" / "test.npy"
    write_split(path, np.zeros((3, 16, 16, 3), np.uint8), [], [], {})
    description = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(description | {"count": 4}))
    with pytest.raises(ValueError, match="prepare it again"):
        open_split(path)


def test_augmentation_crops_the_padded_image_and_mirrors_half(generator: torch.Generator):
    images = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=generator)
    padded = torch.nn.functional.pad(images, (2,) * 4)
    mirrored = 0
    for one, around in zip(augment(images, 2, True, generator), padded, strict=True):
        windows = around.unfold(1, 8, 1).unfold(2, 8, 1)  # (3, 5, 5, 8, 8)
        straight = (windows == one[:, None, None]).all(4).all(3).all(0).any()
        flipped = (windows.flip(4) == one[:, None, None]).all(4).all(3).all(0).any()
        assert straight or flipped
        mirrored += int(flipped and not straight)
    assert 16 < mirrored < 48


def test_without_padding_and_mirroring_images_stay(generator: torch.Generator):
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=generator)
    assert augment(images, 0, False, generator).equal(images)
