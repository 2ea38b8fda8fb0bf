"""Objects in a photograph: a torchvision detector, whose outputs are lists of dictionaries of differing lengths.

Exercises: torchvision's detection stack (anchors, box coder, NMS inside `forward`), padding so that a batch can
be split, the list of dictionaries made again in postprocess with a threshold and a class-wise NMS of its own, category
names. The weights are seeded: what it finds is nonsense, but different nonsense in each picture, the same each time.
"""

from __future__ import annotations

from importlib.metadata import distribution

import torch
from PIL import Image
from torch import nn
from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights, ssdlite320_mobilenet_v3_large
from torchvision.ops import batched_nms
from torchvision.transforms import functional

SIZE = 320
MOST = 50


class Detector(nn.Module):
    """A PIL image to `[{"name", "score", "box"}, ...]`, best first; boxes are x, y, x, y in pixels of the image."""

    def __init__(self, network: nn.Module, names: list[str], threshold: float, overlap: float) -> None:
        super().__init__()
        self.network, self.names = network, names
        self.threshold, self.overlap = threshold, overlap

    def preprocess(self, x):
        pixels = functional.to_tensor(functional.resize(x.convert("RGB"), [SIZE, SIZE]))
        return {"pixels": pixels, "width": x.width, "height": x.height}

    def forward(self, batch):
        # one at a time: what NMS keeps among near ties must not depend on who else is in the batch
        found = [self.network([pixels])[0] for pixels in batch["pixels"]]
        return {
            "boxes": torch.stack([_padded(one["boxes"]) for one in found]),
            "scores": torch.stack([_padded(one["scores"]) for one in found]),
            "labels": torch.stack([_padded(one["labels"]) for one in found]),
            "num_detections": torch.tensor([len(one["scores"]) for one in found]),
            "size": torch.stack([batch["width"], batch["height"]], dim=-1),
        }

    def postprocess(self, output):
        number = int(output["num_detections"])
        boxes, scores, labels = (output[name][:number] for name in ("boxes", "scores", "labels"))
        sure = scores >= self.threshold
        boxes, scores, labels = boxes[sure], scores[sure], labels[sure]
        kept = batched_nms(boxes, scores, labels, self.overlap)
        boxes = boxes * (output["size"].repeat(2) / SIZE)
        return [
            {"name": self.names[int(labels[place])], "score": float(scores[place]), "box": boxes[place].tolist()}
            for place in kept
        ]


def _padded(values: torch.Tensor) -> torch.Tensor:
    """`values` (n, ...), of which there are MOST at most, filled with zeros to (MOST, ...)."""
    padded = values.new_zeros((MOST, *values.shape[1:]))
    padded[: len(values)] = values
    return padded


@torch.no_grad()
def _seed_weights(network: nn.Module) -> None:
    """Random weights that answer to what is in the picture, and statistics that are not torch's initial ones.

    Left as they are initialised, all pictures look alike at the end of so deep a network. So it sees a few blurred
    ones: their statistics become batch normalisation's, and the heads answer to what differs between them.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momentum = norms[0].momentum
    for norm in norms:
        norm.momentum = 1.0  # the statistics of this one batch
    pictures = nn.functional.interpolate(torch.rand(4, 3, 5, 5) * 2 - 1, size=160, mode="bilinear")
    levels = list(network.train().backbone(pictures).values())
    for head, strength in ((network.head.classification_head, 0.3), (network.head.regression_head, 0.2)):
        for level, (block, last) in zip(levels, head.module_list, strict=True):
            features = block(level)
            centre = features.mean((0, 2, 3))
            spread = float((features - centre[:, None, None]).norm(dim=1).mean())
            last.weight.normal_(0, strength / spread)
            last.bias.copy_(-last.weight[:, :, 0, 0] @ centre)
    for norm in norms:
        norm.momentum = momentum


def construct() -> nn.Module:
    """The model with torchvision's initial weights: what a file of weights needs."""
    network = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, score_thresh=0.7, detections_per_img=MOST
    )
    names = list(SSDLite320_MobileNet_V3_Large_Weights.DEFAULT.meta["categories"])
    return Detector(network, names, threshold=0.75, overlap=0.4).eval()


def build() -> nn.Module:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that sums are taken in one order, however many cores there are
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(23)
            model = construct()
            _seed_weights(model.network)
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def examples() -> list:
    """The two photographs that scikit-learn ships, read from where it keeps them, and a part of one."""
    folder = distribution("scikit-learn").locate_file("sklearn/datasets/images")
    china, flower = (Image.open(folder / name).convert("RGB") for name in ("china.jpg", "flower.jpg"))
    return [china, flower, china.crop((200, 60, 520, 380))]
