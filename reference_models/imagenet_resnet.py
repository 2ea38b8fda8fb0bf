"""A photograph to category names: the article's own case, with the constants that go missing.

Exercises: torchvision transforms as attributes, the ImageNet mean and standard deviation, batch normalisation's
statistics, softmax, order, threshold, and a thousand readable labels. Raw inputs are PIL images.

The weights are seeded, so the names are nonsense, if well told apart; or trained ones, where the environment variable
`ROUNDTRIP_RESNET18_CHECKPOINT` names a file with a `state_dict` of torchvision's resnet18.
"""

from __future__ import annotations

import os
from importlib.metadata import distribution

import torch
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.models import ResNet18_Weights, resnet18

# sums over thousands of values, twenty layers deep, which another library takes in another order
TOLERANCE = {"rtol": 1e-3, "atol": 1e-4}
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class ImageNetClassifier(nn.Module):
    """A PIL image to `[(name, probability), ...]` of what is above the threshold, most probable first."""

    def __init__(self, network: nn.Module, labels: list[str], threshold: float) -> None:
        super().__init__()
        self.network, self.labels, self.threshold = network, labels, threshold
        self.transform = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def preprocess(self, x):
        return self.transform(x.convert("RGB"))

    def forward(self, batch):
        return self.network(batch)

    def postprocess(self, output):
        probabilities, order = output.softmax(-1).sort(descending=True)
        return [
            (self.labels[index], probability)
            for probability, index in zip(probabilities.tolist(), order.tolist(), strict=True)
            if probability >= self.threshold
        ]


@torch.no_grad()
def _seed(network: nn.Module) -> None:
    """Random weights that tell pictures apart, and statistics that are not torch's initial ones.

    Left as they are initialised, all pictures look alike at the end of so deep a network. So it sees a few blurred
    ones: their statistics become batch normalisation's, and the last layer answers to what differs between them.
    """
    pictures = nn.functional.interpolate(torch.randn(8, 3, 5, 5), size=64, mode="bilinear")
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # the statistics of this one batch
    network.train()(pictures)
    for norm in norms:
        norm.momentum = 0.1
    features = nn.Sequential(*list(network.eval().children())[:-1])(pictures).flatten(1)
    centre = features.mean(0)
    spread = float((features - centre).norm(dim=1).mean())
    network.fc.weight.normal_(0, 0.5 / spread)  # mild enough that several names pass the threshold
    network.fc.bias.copy_(-network.fc.weight @ centre)


def construct() -> nn.Module:
    """The model with torchvision's initial weights: what a file of weights needs."""
    labels = list(ResNet18_Weights.DEFAULT.meta["categories"])
    return ImageNetClassifier(resnet18(weights=None), labels, threshold=0.02).eval()


def build() -> nn.Module:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that sums are taken in one order, however many cores there are
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(18)
            model = construct()
            _seed(model.network)
    finally:
        torch.set_num_threads(threads)
    if checkpoint := os.environ.get("ROUNDTRIP_RESNET18_CHECKPOINT"):
        model.network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return model.eval()


def examples() -> list:
    """The two photographs that scikit-learn ships, read from where it keeps them, and a part of one."""
    folder = distribution("scikit-learn").locate_file("sklearn/datasets/images")
    china, flower = (Image.open(folder / name).convert("RGB") for name in ("china.jpg", "flower.jpg"))
    return [china, flower, china.crop((200, 60, 520, 380))]
