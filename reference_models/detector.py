"""Objects in a photograph: a torchvision detector, whose outputs are lists of dictionaries of differing lengths.

Exercises: torchvision's detection stack (anchor generators, box coders, NMS inside `forward`), padding so that a batch
can be split, a second class-wise NMS with thresholds in postprocess, category names. Weights are seeded: what it finds
is nonsense, but the same nonsense each time.
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights, ssdlite320_mobilenet_v3_large
from torchvision.ops import batched_nms
from torchvision.transforms import functional

SIZE = 320
MOST = 50


class Detector(nn.Module):
    """A PIL image to a list of `{"name", "score", "box"}`, boxes in pixels of the image."""

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
            "count": torch.tensor([min(len(one["scores"]), MOST) for one in found]),
            "size": torch.stack([batch["width"], batch["height"]], dim=-1),
        }

    def postprocess(self, output):
        count = int(output["count"])
        boxes, scores, labels = (output[name][:count] for name in ("boxes", "scores", "labels"))
        kept = batched_nms(boxes, scores, labels, self.overlap)
        width, height = output["size"].tolist()
        scale = torch.tensor([width, height, width, height]) / SIZE
        return [
            {
                "name": self.names[int(labels[place])],
                "score": float(scores[place]),
                "box": (boxes[place] * scale).tolist(),
            }
            for place in kept.tolist()
            if float(scores[place]) >= self.threshold
        ]


def _padded(values: torch.Tensor) -> torch.Tensor:
    """`values` (n, ...) cut or filled with zeros to (MOST, ...)."""
    padded = values.new_zeros((MOST, *values.shape[1:]))
    padded[: min(len(values), MOST)] = values[:MOST]
    return padded


def build() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(23)
        network = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, score_thresh=0.02)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.05)
                module.running_var.uniform_(0.5, 1.5)
        for head in network.head.classification_head.module_list:
            nn.init.normal_(head[1].weight, std=3.0)  # so that the classes are not all equally likely
    names = list(SSDLite320_MobileNet_V3_Large_Weights.DEFAULT.meta["categories"])
    return Detector(network, names, threshold=0.02, overlap=0.4).eval()


def examples() -> list:
    from PIL import Image
    from sklearn.datasets import load_sample_images

    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    return [china, flower, china.crop((200, 60, 520, 380))]
