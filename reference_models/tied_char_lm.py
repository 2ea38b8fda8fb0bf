"""A small GPT over characters that translates single words: tied weights, and a beam search in postprocessing.

Exercises: one Parameter under two names (embedding and head), a causal mask as a non-persistent buffer, an int-keyed
vocabulary, the search's settings in a dataclass, a postprocess that calls the network again. The translation example of
the series in small: English to German by going on after "house=". It learnt its list of words by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

# another processor sums in another order; the absolute part is that of torch.testing.assert_close for float32
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

WORDS = {
    "one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs",
    "seven": "sieben", "eight": "acht", "nine": "neun", "ten": "zehn", "eleven": "elf", "twelve": "zwölf",
    "red": "rot", "green": "grün", "blue": "blau", "house": "haus", "garden": "garten", "water": "wasser",
    "bread": "brot", "winter": "winter", "bridge": "brücke", "night": "nacht", "mouse": "maus", "friend": "freund",
}  # fmt: skip
PAD, ASK, END = " ", "=", "."
CONTEXT = 24


@dataclass
class Beam:
    """How to search. Totals of log probabilities are divided by (number of tokens) ** length_penalty."""

    width: int = 3
    max_new_tokens: int = 10
    length_penalty: float = 0.8


class Block(nn.Module):
    """Attention to what came before, then a perceptron: (n, length, width) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.register_buffer("mask", torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril(), persistent=False)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = (
            part.view(n, length, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, dim=-1)
        )
        attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask[:length, :length])
        x = x + self.out(attended.transpose(1, 2).reshape(n, length, width))
        return x + self.mlp(self.norm2(x))


class CharLM(nn.Module):
    """An English word to `{"translation": text, "candidates": [(text, score), ...]}`, the best first."""

    def __init__(self, symbols: list[str], beam: Beam, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.symbols = dict(enumerate(symbols))
        self.ids = {symbol: number for number, symbol in self.symbols.items()}
        self.beam = beam
        self.embedding = nn.Embedding(len(symbols), width)
        self.position = nn.Embedding(CONTEXT, width)
        self.blocks = nn.ModuleList([Block(width, heads=4) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(symbols), bias=False)
        self.head.weight = self.embedding.weight

    def preprocess(self, x):
        room = CONTEXT - self.beam.max_new_tokens - 1
        word = [symbol for symbol in x.lower() if symbol in self.ids]
        known = [self.ids[symbol] for symbol in [*word[:room], ASK]]
        return {"ids": torch.tensor(known + [self.ids[PAD]] * (CONTEXT - len(known))), "length": len(known)}

    def logits(self, ids):
        """(n, length) ids to (n, length, n_symbols) scores of what comes next."""
        x = self.embedding(ids) + self.position.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def forward(self, batch):
        ids, length = batch["ids"], batch["length"]
        return {"ids": ids, "length": length, "next": self.logits(ids)[torch.arange(len(ids)), length - 1]}

    def postprocess(self, output):
        prompt = output["ids"][: int(output["length"])].tolist()
        growing, ended = [(0.0, [])], []
        logits = output["next"][None]
        for _ in range(self.beam.max_new_tokens):
            totals = torch.tensor([[total] for total, _ in growing]) + logits.log_softmax(-1)
            best, places = totals.flatten().topk(self.beam.width)
            grown = [
                (total, [*growing[place // len(self.symbols)][1], place % len(self.symbols)])
                for total, place in zip(best.tolist(), places.tolist(), strict=True)
            ]
            ended += [beam for beam in grown if beam[1][-1] == self.ids[END]]
            growing = [beam for beam in grown if beam[1][-1] != self.ids[END]]
            if len(ended) >= self.beam.width or not growing:
                break
            logits = self.logits(torch.tensor([prompt + ids for _, ids in growing]))[:, -1]
        scored = [(self._text(ids), total / len(ids) ** self.beam.length_penalty) for total, ids in ended or growing]
        candidates = sorted(scored, key=lambda candidate: -candidate[1])[: self.beam.width]
        return {"translation": candidates[0][0], "candidates": candidates}

    def _text(self, ids: list[int]) -> str:
        return "".join(self.symbols[number] for number in ids).rstrip(END)


def _train(model: CharLM, steps: int = 60, rate: float = 1e-2) -> None:
    """Adam (Kingma and Ba, 2015) on all words at once; the rate falls to zero along a line.

    Written out, since the first optimizer of `torch.optim` imports torch's compiler, which takes seconds.
    """
    lines = [f"{english}{ASK}{german}{END}" for english, german in WORDS.items()]
    ids = torch.tensor([[model.ids[symbol] for symbol in line.ljust(CONTEXT, PAD)] for line in lines])
    ids = ids[:, : max(map(len, lines))]
    asked = (ids == model.ids[ASK]).cumsum(-1)[:, :-1].bool()
    targets = ids[:, 1:].masked_fill(~asked | (ids[:, 1:] == model.ids[PAD]), -100)  # only the German part counts
    parameters = list(model.parameters())
    means = [torch.zeros_like(parameter) for parameter in parameters]
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    for step in range(1, steps + 1):
        loss = nn.functional.cross_entropy(model.logits(ids[:, :-1]).flatten(0, 1), targets.flatten())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient, mean, square in zip(parameters, gradients, means, squares, strict=True):
                mean.lerp_(gradient, 0.1)
                square.lerp_(gradient**2, 0.01)
                change = (mean / (1 - 0.9**step)) / ((square / (1 - 0.99**step)).sqrt() + 1e-8)
                parameter.sub_(change, alpha=rate * (1 - (step - 1) / steps))


def construct() -> nn.Module:
    """The model before it is trained: what a file of weights needs."""
    symbols = [PAD, ASK, END, *sorted(set("".join([*WORDS, *WORDS.values()])))]
    return CharLM(symbols, Beam()).eval()


def build() -> nn.Module:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that sums are taken in one order, however many cores there are
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(13)
            model = construct().train()
            _train(model)
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def examples() -> list:
    return ["bridge", "Three", "a watery garden"]


def score(predict) -> dict[str, float]:
    """The share of every third word on the list that is translated right; it was trained on them."""
    words = list(WORDS)[::3]
    answers = predict(words)
    right = sum(answer["translation"] == WORDS[word] for answer, word in zip(answers, words, strict=True))
    return {"accuracy": right / len(words)}
