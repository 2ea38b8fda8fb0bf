"""The model of the series: a SentencePiece tokenizer, a GRU whose size depends on it, a decoder; and a lambda's twin.

Exercises: a C++ object (`SentencePieceProcessor`) beside the bytes that it was made from in an `io.BytesIO`, plain
Python objects as attributes, one part's size taken from another part's training. `build_lambda` gives the same model
with a lambda as an attribute, applied in `forward`: what pickle cannot save. Accuracy on held-out sentences.
"""

from __future__ import annotations

import io
from itertools import product

import sentencepiece
import torch
from torch import nn

LABELS = ("good", "bad", "ugly")
OPENINGS = ("", "well, ", "to me ")
SUBJECTS = (
    "the film", "this movie", "the plot", "the acting", "her music", "our evening",
    "the ending", "his comedy", "every scene", "the book", "that sequel", "the camera work",
)  # fmt: skip
VERDICTS = (
    ("was wonderful", "was a joy", "moved me deeply", "shone brightly", "felt warm and clever", "made us smile"),
    ("was a waste of time", "bored me to tears", "fell apart", "was painfully slow", "lacked purpose", "made us yawn"),
    ("looked hideous", "was gory and vile", "was a grim mess", "gave us the creeps", "stank of blood", "disgusted me"),
)
REVIEWS = (
    "I laughed until the lights came on. Go and see it twice. The young lead plays with real grace. Every joke lands. "
    "We left humming the songs.",
    "Nothing happens for two hours. I checked my watch often. The script forgets its own point. Skip it and sleep "
    "instead. Dull from the first minute on.",
    "Rotten heads roll through green slime. My stomach turned at the dinner scene. The monster suit is foul. Not even "
    "the puppets are nice to look at.",
)


def corpus() -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Sentences with the number of their label: those to learn from, and those held out."""
    made = [
        (f"{opening}{subject} {verdict}", label)
        for label, verdicts in enumerate(VERDICTS)
        for opening, subject, verdict in product(OPENINGS, SUBJECTS, verdicts)
    ]
    written = [(f"{text}.", label) for label, review in enumerate(REVIEWS) for text in review.rstrip(".").split(". ")]
    return written + [pair for place, pair in enumerate(made) if place % 7], made[::7]


class Tokenizer:
    """A text to a fixed number of ids: a batch needs one length, so short texts are padded and long ones cut.

    The padding comes first, since the model answers at the last step.
    """

    def __init__(self, sentences: list[str], vocab_size: int = 100, length: int = 20) -> None:
        self.length = length
        self.model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=self.model,
            model_type="unigram",
            vocab_size=vocab_size,
            pad_id=3,
            num_threads=1,  # more of them, and the pieces depend on how the threads take turns
            minloglevel=2,
        )
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=self.model.getvalue())
        self.n_symbols = self.processor.get_piece_size()

    def __call__(self, text: str) -> torch.Tensor:
        ids = self.processor.encode(text)[: self.length]
        return torch.tensor([self.processor.pad_id()] * (self.length - len(ids)) + ids)


class Layer(nn.Module):
    """Embedding -> GRU -> Linear, at every step: (n, length) ids to (n, length, n_classes) scores."""

    def __init__(self, n_symbols: int, n_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_symbols, 64)
        self.rnn = nn.GRU(64, 256, batch_first=True)
        self.project = nn.Linear(256, n_classes)

    def forward(self, ids):
        hidden, _ = self.rnn(self.embedding(ids))
        return self.project(hidden)


class Decoder:
    """The best class by name, and the raw scores."""

    def __init__(self, labels) -> None:
        self.labels = list(labels)

    def __call__(self, scores: torch.Tensor) -> dict:
        return {"decision": self.labels[int(scores.argmax())], "prediction": scores.tolist()}


class Sentiment(nn.Module):
    def __init__(self, tokenizer: Tokenizer, layer: Layer, decoder: Decoder) -> None:
        super().__init__()
        self.tokenizer, self.layer, self.decoder = tokenizer, layer, decoder

    def preprocess(self, x):
        return self.tokenizer(x)

    def forward(self, batch):
        return self.layer(batch)[:, -1]

    def postprocess(self, output):
        return self.decoder(output)


class SentimentWithLambda(Sentiment):
    def __init__(self, tokenizer: Tokenizer, layer: Layer, decoder: Decoder) -> None:
        super().__init__(tokenizer=tokenizer, layer=layer, decoder=decoder)
        self.temper = lambda scores: scores / 0.7

    def forward(self, batch):
        return self.temper(super().forward(batch))


def _train(layer: Layer, inputs: torch.Tensor, targets: torch.Tensor, steps: int = 32, rate: float = 0.3) -> None:
    """Stochastic gradient descent with momentum; the rate falls to zero along a line.

    Written out, since the first optimizer of `torch.optim` imports torch's compiler, which takes seconds.
    """
    parameters = list(layer.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    for step, batch in enumerate(torch.randperm(len(inputs)).split(16)[:steps]):
        loss = nn.functional.cross_entropy(layer(inputs[batch])[:, -1], targets[batch])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                velocity.mul_(0.9).add_(gradient)
                parameter.sub_(velocity, alpha=rate * (1 - step / steps))


def _construct(kind: type[Sentiment]) -> nn.Module:
    learnt, _ = corpus()
    tokenizer = Tokenizer(sentences=[text for text, _ in learnt])
    layer = Layer(n_symbols=tokenizer.n_symbols, n_classes=len(LABELS))
    return kind(tokenizer=tokenizer, layer=layer, decoder=Decoder(labels=LABELS)).eval()


def _build(kind: type[Sentiment]) -> nn.Module:
    learnt, _ = corpus()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that sums are taken in one order, however many cores there are
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(7)
            model = _construct(kind).train()
            inputs = torch.stack([model.tokenizer(text) for text, _ in learnt])
            _train(model.layer, inputs, torch.tensor([label for _, label in learnt]))
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def construct() -> nn.Module:
    """The model before its network is trained: what a file of weights needs. The tokenizer is."""
    return _construct(Sentiment)


def construct_lambda() -> nn.Module:
    return _construct(SentimentWithLambda)


def build() -> nn.Module:
    return _build(Sentiment)


def build_lambda() -> nn.Module:
    return _build(SentimentWithLambda)


def examples() -> list:
    return [
        "the music was wonderful",
        "our second evening fell apart, and the camera work bored me more than words can tell",
        "a grim and gory mess",
        "",
    ]


def score(predict) -> dict[str, float]:
    """Accuracy on the held-out sentences."""
    _, held_out = corpus()
    answers = predict([text for text, _ in held_out])
    right = sum(answer["decision"] == LABELS[label] for answer, (_, label) in zip(answers, held_out, strict=True))
    return {"accuracy": right / len(held_out)}
