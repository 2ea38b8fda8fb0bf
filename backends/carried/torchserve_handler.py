"""What TorchServe runs: a handler whose three steps are the model's own."""

import torch
from torch.utils._pytree import tree_map
from ts.torch_handler.base_handler import BaseHandler


class Handler(BaseHandler):
    def _load_torchscript_model(self, model_pt_path):
        """BaseHandler takes every `.pt` file for TorchScript; this one is the whole pickled model."""
        return torch.load(model_pt_path, map_location=self.device, weights_only=False)

    def preprocess(self, data):
        """A list of requests to a list of batches of one: what the requests ask for may differ in shape."""
        bodies = [row.get("data") if row.get("data") is not None else row.get("body") for row in data]
        texts = [body.decode() if isinstance(body, bytes | bytearray) else body for body in bodies]
        return [tree_map(lambda leaf: torch.as_tensor(leaf)[None], self.model.preprocess(text)) for text in texts]

    def inference(self, data):
        with torch.no_grad():
            return [self.model(batch) for batch in data]

    def postprocess(self, data):
        return [self.model.postprocess(tree_map(lambda leaf: leaf[0], output)) for output in data]
