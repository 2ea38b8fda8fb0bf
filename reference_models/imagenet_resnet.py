"""A photograph to category names: the article's own case, with the constants that go missing.

Exercises: torchvision transforms as attributes, the ImageNet mean and standard deviation, batch normalisation's
statistics, softmax, order, threshold, and a thousand readable labels. Raw inputs are PIL images.

The weights are seeded, unless the environment variable `ROUNDTRIP_RESNET18_CHECKPOINT` names a file with a
`state_dict` of torchvision's resnet18.
"""

from __future__ import annotations

import os

import torch
from torch import nn
from torchvision import transforms
from torchvision.models import ResNet18_Weights, resnet18

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class ImageNetClassifier(nn.Module):
    """A PIL image to the names above the threshold, most probable first."""

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
            (self.labels[int(index)], round(float(probability), 6))
            for probability, index in zip(probabilities, order, strict=True)
            if probability >= self.threshold
        ]


def _seeded() -> nn.Module:
    """Random weights whose answers are not all alike, and statistics that are not torch's initial ones."""
    network = resnet18(weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    nn.init.normal_(network.fc.weight, std=0.1)
    return network


def build() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(18)
        network = _seeded()
    if checkpoint := os.environ.get("ROUNDTRIP_RESNET18_CHECKPOINT"):
        network.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu"))
    labels = list(ResNet18_Weights.DEFAULT.meta["categories"])
    return ImageNetClassifier(network, labels, threshold=0.02).eval()


def examples() -> list:
    from PIL import Image
    from sklearn.datasets import load_sample_images

    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    return [china, flower, china.crop((200, 60, 520, 380))]
