"""How fast networks learn and answer, against the published loops: ratios within one run.

pytest tests/benchmarks/test_bench_networks.py --benchmark-enable

In training, the published loop reads each face from its file with PIL in every epoch, changes it
alone, and passes batches in fp32. Ours reads the faces once, changes a batch at a time, and passes
it in bf16, which is fast where the processor has it (AMX or AVX-512 BF16 on Intel's). In use, the
published loop reads each face with PIL and shows it to each network by itself.
"""

import time

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from exe_core import inference, models, training
from exe_core.faces import load_faces
from exe_core.settings import Train

BATCH, FACES, CLASSES = 32, 32, ("angry", "fear", "happy", "sad", "surprise")

pytestmark = pytest.mark.slow


@pytest.fixture
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Crops as the study stores them."""
    folder, rng = tmp_path_factory.mktemp("crops"), np.random.default_rng(0)
    paths = [folder / CLASSES[index % 5] / f"{index}.jpg" for index in range(FACES)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8))
        coarse.resize((128, 128), Image.Resampling.BICUBIC).save(path, quality=95)
    return paths


def published(files, *, size, workers):
    """Make an epoch of the published loop, and pass one to warm up."""
    network = torchvision.models.resnet18(num_classes=len(CLASSES))
    for name, weights in network.named_parameters():
        weights.requires_grad_(name.startswith(("layer3", "layer4", "fc")))
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=3e-4)
    shown = models.Preprocessing()
    changes = [
        transforms.Resize((size, size)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(10),
        transforms.ColorJitter(0.2, 0.2, 0.2),
        transforms.ToTensor(),
        transforms.Normalize(shown.mean, shown.std),
    ]
    crops = ImageFolder(files[0].parents[1], transforms.Compose(changes))
    how = {"num_workers": workers, "persistent_workers": workers > 0}
    loader = DataLoader(crops, batch_size=BATCH, shuffle=True, **how)

    def epoch():
        network.train()
        for faces, labels in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(faces), labels)
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    epoch()
    return epoch


def ours(files, *, size):
    """Make an epoch of ours; reading the faces, once in 30 epochs, counts a thirtieth."""
    start = time.process_time()
    faces = load_faces(pd.DataFrame({"face_id": files, "path": files}), size=size)
    reading = (time.process_time() - start) / 30
    recipe = Train(weights="none", size=size, precision="bf16")
    network = models.build(recipe.model, n_classes=len(CLASSES)).to(
        memory_format=torch.channels_last
    )
    training.freeze(network, recipe.trainable)
    optimizer = training.optimizer_of(network, recipe)
    part = torch.from_numpy(faces), torch.eye(len(CLASSES))[torch.arange(FACES) % len(CLASSES)]
    shown = models.Preprocessing(size=size)

    def epoch():
        network.train()
        return training.train_epoch(network, *part, recipe, shown, optimizer, epoch=1)[0]

    epoch()
    return epoch, reading


def seconds(epoch, *, clock, rounds=2):
    """Time the fastest of some epochs."""
    found = []
    for _ in range(rounds):
        start = clock()
        assert np.isfinite(epoch())
        found.append(clock() - start)
    return min(found)


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize(("size", "aim"), [(64, 2.0), (112, 2.3), (224, 2.9)])
@pytest.mark.parametrize(
    ("workers", "clock", "how"),
    [(0, time.process_time, "processor time"), (2, time.perf_counter, "two readers")],
)
def test_an_epoch_against_the_published_one(
    benchmark, ratio, files, size, aim, workers, clock, how
):
    """One process and thread, which a busy machine changes little; or two, on an idle machine."""
    if size > 64 and not benchmark.enabled:
        pytest.skip("the smallest size shows that it runs")
    torch.set_num_threads(max(workers, 1))
    theirs = seconds(published(files, size=size, workers=workers), clock=clock)
    epoch, reading = ours(files, size=size)
    took = seconds(epoch, clock=clock) + reading
    ratio(f"training ResNet18 at {size} px, bf16, {how}", theirs / took, aim=aim)
    benchmark.pedantic(epoch, rounds=1)


def answers_of_the_published_loop(classifiers, faces):
    """Show one face after another to one network after another."""
    shown = classifiers[0].preprocessing
    steps = [transforms.ToTensor(), transforms.Normalize(shown.mean, shown.std)]
    prepare, rows = transforms.Compose([transforms.Resize((shown.size,) * 2), *steps]), []
    for classifier in classifiers:
        for face in faces:
            with torch.no_grad():
                logits = classifier.network(prepare(Image.fromarray(face)).unsqueeze(0))
                rows.append(logits.softmax(dim=1)[0].numpy())
    return np.mean(np.reshape(rows, (len(classifiers), len(faces), -1)), axis=0)


def test_the_mean_of_four_networks(benchmark, ratio, classifiers):
    """Time both ways in turn; the ratio is the median of three."""
    faces = np.random.default_rng(0).integers(0, 256, (16, 224, 224, 3)).astype(np.uint8)
    quick, ratios = [inference.fuse_for_inference(each) for each in classifiers], []

    def both():
        start = time.perf_counter()
        expected = answers_of_the_published_loop(classifiers, faces)
        between = time.perf_counter()
        found = np.mean([inference.predict(each, faces) for each in quick], axis=0)
        ratios.append((between - start) / (time.perf_counter() - between))
        return np.abs(found - expected).max()

    error = benchmark.pedantic(both, rounds=3, warmup_rounds=1)
    ratio("four ResNet18 at 224 px, fp32", np.median(ratios), aim=1.8)
    assert error < 1e-6
