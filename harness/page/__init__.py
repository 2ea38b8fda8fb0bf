"""`index.html`: the page that people choose from, one file that needs no network.

`render` fills the template `index.html.j2` with what Python prepares (`payload`: cells and facts as JSON; `sections`:
one section a backend and a reference model) and puts styles, scripts and the charting library into it. `ranking.js`
decides, `page.js` shows, `charts.js` draws; `traits.js` is the matrix's table of single difficulties; what the last
three share is in `elements.js`.

Charts: Observable Plot on d3, in `vendor/` with versions and licences (`make vendor` takes newer ones). Vendored,
because no package of PyPI carries them, and because a page that opens from disk can load nothing. Chosen because it
draws SVG in the page's own colours (light, dark, print) in half a megabyte.

The page trusts no record: Jinja escapes what it writes, page.js sets text and never HTML, and the content policy in
the page's head lets nothing be fetched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness.page import payload, sections
from harness.records import Record
from harness.summary import environment_line

HERE = Path(__file__).parent
LIBRARIES = ("vendor/d3.min.js", "vendor/plot.umd.min.js")


def render(
    records: Sequence[Record], environment: dict[str, Any] | None, problems: Sequence[str], trend: bool = False
) -> str:
    """The whole page as text. `problems` are shown at its top; without records there is little else. `trend`: a trend
    page lies beside it."""
    loader = jinja2.FileSystemLoader(HERE)
    templates = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    templates.filters["code"] = sections.code_spans
    templates.filters["digits"] = sections.digits
    return templates.get_template("index.html.j2").render(
        styles=_inline("page.css"),
        libraries=[_inline(name) for name in LIBRARIES],
        ranking=_inline("ranking.js"),
        helpers=_inline("elements.js"),
        traits_script=_inline("traits.js"),
        charts=_inline("charts.js"),
        script=_inline("page.js"),
        data=_json(payload.build(records, environment)),
        problems=list(problems),
        trend=trend,
        **sections.context(records, environment),
        environment_line=environment_line(environment) if environment else "",
    )


def _inline(name: str) -> Markup:
    """A file of ours for a style or script element, where an end tag inside would close the element."""
    text = (HERE / name).read_text(encoding="utf-8")
    return Markup(text.replace("</script", "<\\/script"))


def _json(value: Any) -> Markup:
    """JSON for a script element: no `<`, so that no text of a record can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
