"""The series' model: a SentencePiece tokenizer, a GRU whose size depends on it, a decoder; and its twin with a lambda.

Exercises: a C++ object (`SentencePieceProcessor`) beside the bytes that it was made from in an `io.BytesIO`, plain
Python objects as attributes, one part's size taken from another part's training. `build_lambda` holds a lambda as an
attribute and applies it in `forward`: what pickle cannot save.
"""

from __future__ import annotations

import io
from itertools import product

import torch
from torch import nn

SUBJECTS = ("the film", "this movie", "the story", "the acting", "the music", "our evening", "the ending", "his comedy")
PRAISE = ("was wonderful", "was a joy to watch", "moved me deeply", "shines from start to finish", "felt warm and clever")
BLAME = ("was a waste of time", "bored me to tears", "fell apart quickly", "was painfully slow", "lacks any purpose")
DISGUST = ("looked hideous", "was gory and vile", "was a grim ugly mess", "made me feel sick", "stank of blood")
TAILS = ("", "and I would say so again", "as my friends agree", "which nobody had expected", "except for the jokes")
LABELS = ("good", "bad", "ugly")


def corpus() -> list[tuple[str, int]]:
    """Sentences with the index of their label."""
    return [
        (f"{subject} {verdict} {tail}".strip(), label)
        for label, verdicts in enumerate((PRAISE, BLAME, DISGUST))
        for subject, verdict, tail in product(SUBJECTS, verdicts, TAILS)
    ]


class Tokenizer:
    """Text to a fixed number of ids: a batch needs one length, so short texts are padded and long ones cut."""

    def __init__(self, sentences, vocab_size: int = 100, length: int = 24) -> None:
        import sentencepiece

        self.length = length
        self.model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=self.model,
            model_type="unigram",
            vocab_size=vocab_size,
            pad_id=3,
            num_threads=1,
            minloglevel=2,
        )
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=self.model.getvalue())
        self.n_symbols = self.processor.get_piece_size()

    def __call__(self, text: str) -> torch.Tensor:
        ids = self.processor.encode(text)[: self.length]
        return torch.tensor([self.processor.pad_id()] * (self.length - len(ids)) + ids)


class Layer(nn.Module):
    """Embedding -> GRU -> Linear, at every step."""

    def __init__(self, n_symbols: int, n_classes: int = 3) -> None:
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
        super().__init__(tokenizer, layer, decoder)
        self.temper = lambda scores: scores / 0.7

    def forward(self, batch):
        return self.temper(super().forward(batch))


def _build(cls: type[Sentiment]) -> nn.Module:
    sentences = corpus()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        tokenizer = Tokenizer([text for text, _ in sentences])
        model = cls(tokenizer, Layer(tokenizer.n_symbols), Decoder(LABELS))
        _train(model, sentences)
    return model.eval()


def _train(model: Sentiment, sentences, steps: int = 12) -> None:
    inputs = torch.stack([model.preprocess(text) for text, _ in sentences])
    targets = torch.tensor([label for _, label in sentences])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
        optimizer.step()
    model.zero_grad(set_to_none=True)


def build() -> nn.Module:
    return _build(Sentiment)


def build_lambda() -> nn.Module:
    return _build(SentimentWithLambda)


def examples() -> list:
    return [
        "the music was wonderful",
        "our evening fell apart quickly, as my friends agree",
        "a grim ugly mess",
        "",
    ]
