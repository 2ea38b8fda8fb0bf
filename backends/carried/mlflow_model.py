"""What MLflow runs: each input through the model's preprocessing, network and postprocessing."""

import mlflow.pyfunc
import torch
from torch.utils._pytree import tree_map


class Served(mlflow.pyfunc.PythonModel):
    def __init__(self, model=None):
        self.model = model

    def load_context(self, context):
        if self.model is None:  # models from code: the object lies beside the script
            self.model = torch.load(context.artifacts["model"], weights_only=False)

    def predict(self, context, model_input, params=None):
        return [self.answer(x) for x in model_input]

    def answer(self, x):
        batch = tree_map(lambda leaf: torch.as_tensor(leaf)[None], self.model.preprocess(x))
        with torch.no_grad():
            output = self.model(batch)
        return self.model.postprocess(tree_map(lambda leaf: leaf[0], output))


mlflow.models.set_model(Served())
