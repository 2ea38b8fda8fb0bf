"""The trend page: each backend's cost as a multiple of the floor, run after run, with what changed in between.

One self-contained file, as `index.html`, made from the history's database alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jinja2

from harness import history
from harness.page import HERE, LIBRARIES, _inline, _json


def payload(db) -> dict[str, Any]:
    """Every point by metric and model, the models that most backends have first."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for metric in history.FLOORS:
        first = history.common_model(db, metric)
        names = [row[0] for row in db.execute("select distinct model from costs where metric = ?", [metric])]
        for model in sorted(names, key=lambda name: (name != first, name)):
            points = [dataclasses.asdict(point) for point in history.trend(db, metric, model)]
            found.setdefault(metric, {})[model] = points
    return found


def render(db) -> str:
    """The whole page as text."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    runs = db["runs"].count
    return templates.get_template("trend.html.j2").render(
        styles=_inline("page.css"),
        libraries=[_inline(name) for name in LIBRARIES],
        helpers=_inline("elements.js"),
        script=_inline("trend.js"),
        data=_json(payload(db)),
        runs=runs,
    )
