"""A small GPT over characters that goes on with a text: tied weights, and a beam search in postprocessing.

Exercises: one Parameter under two names (embedding and head), a causal mask as a non-persistent buffer, an int-keyed
vocabulary, settings of the search kept in a dataclass, a postprocess that calls the network again. The series'
translation example in small.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

TEXT = "the rain in spain stays mainly in the plain. " * 12
CONTEXT = 32


@dataclass
class Beam:
    """How to search."""

    width: int = 3
    new_tokens: int = 10
    length_penalty: float = 0.8


class Block(nn.Module):
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
    """A prompt to its most probable continuation."""

    def __init__(self, text: str, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.symbols = dict(enumerate(sorted(set(text))))
        self.ids = {symbol: number for number, symbol in self.symbols.items()}
        self.beam = Beam()
        self.embedding = nn.Embedding(len(self.symbols), width)
        self.position = nn.Embedding(CONTEXT, width)
        self.blocks = nn.ModuleList([Block(width, heads=4) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(self.symbols), bias=False)
        self.head.weight = self.embedding.weight

    def preprocess(self, x):
        known = [self.ids[symbol] for symbol in x.lower() if symbol in self.ids][-CONTEXT:]
        return {"ids": torch.tensor(known + [0] * (CONTEXT - len(known))), "length": len(known)}

    def logits(self, ids):
        x = self.embedding(ids) + self.position.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def forward(self, batch):
        return {"ids": batch["ids"], "length": batch["length"], "logits": self.logits(batch["ids"])}

    def postprocess(self, output):
        length = int(output["length"])
        prompt = output["ids"][:length]
        beams = [(0.0, prompt)]
        first = output["logits"][max(length - 1, 0)]
        for step in range(self.beam.new_tokens):
            grown = []
            for total, ids in beams:
                last = first if step == 0 else self.logits(ids[None, -CONTEXT:])[0, -1]
                scores, choices = last.log_softmax(-1).topk(self.beam.width)
                grown += [
                    (total + float(score), torch.cat([ids, choice[None]]))
                    for score, choice in zip(scores, choices, strict=True)
                ]
            beams = sorted(grown, key=lambda beam: -beam[0])[: self.beam.width]
        total, ids = beams[0]
        text = "".join(self.symbols[int(number)] for number in ids[length:])
        return {"continuation": text, "score": total / self.beam.new_tokens**self.beam.length_penalty}


def build() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(13)
        model = CharLM(TEXT)
        data = torch.tensor([model.ids[symbol] for symbol in TEXT])
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(25):
            starts = torch.randint(len(data) - CONTEXT - 1, (16,))
            windows = torch.stack([data[start : start + CONTEXT + 1] for start in starts])
            optimizer.zero_grad()
            logits = model.logits(windows[:, :-1])
            nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).backward()
            optimizer.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


def examples() -> list:
    return ["the rain in ", "Spain", "mainly in the pl"]
