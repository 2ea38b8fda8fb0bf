"""The charts: drawn, with their numbers, and marked where the machine was too noisy."""

from __future__ import annotations

from harness.report import write_report
from tests import synthetic
from tests.page.driving import BACKENDS, find

CHARTS = (
    "size-load",
    "memory",
    "load-floor",
    "save-floor",
    "cold-start",
    "growth-load",
    "growth-save",
    "growth-memory",
    "growth-load-modules",
    "growth-save-modules",
)


def test_every_chart_is_drawn_and_has_its_table(page):
    browser = page()
    for name in CHARTS:
        shapes = find(browser, f"#chart-{name} svg :is(circle, rect, path)")
        assert len(shapes) > 10, name
        browser.execute_script(f"document.querySelector('#chart-{name} details').open = true")
    browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")  # toggle events
    assert min(len(find(browser, f"#chart-{name} tbody tr")) for name in CHARTS) >= BACKENDS - 1  # one has no such cost


def test_the_front_holds_what_nothing_beats_in_both(page):
    browser = page()
    front = browser.execute_script("""return charts.front([
        {n: 'a', x: 1, y: 9}, {n: 'b', x: 2, y: 9}, {n: 'c', x: 2, y: 3}, {n: 'd', x: 3, y: 4}, {n: 'e', x: 9, y: 1}
    ], 'x', 'y').map((row) => row.n)""")
    assert front == ["a", "c", "e"]


def test_what_is_too_noisy_is_marked(browser, tmp_path):
    made = synthetic.records(5)
    (noisy,) = [record for record in made if record.kind == "floor" and record.model == "detector"]
    noisy.too_noisy = "two equal floors differ"
    folder = synthetic.write(tmp_path / "run", made)
    write_report(folder)
    browser.get((folder / "index.html").as_uri())
    assert "detector: too noisy to rank by" in find(browser, ".notes")[0].text
    choose = (
        "const s = document.getElementById('chart-model'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))"
    )
    browser.execute_script(choose, "detector")
    marked = {
        figure.find_element("xpath", "./ancestor::figure").get_attribute("id") for figure in find(browser, ".noisy")
    }
    assert marked == {"chart-size-load", "chart-load-floor", "chart-save-floor"}
    browser.execute_script(choose, "digits_cnn")
    assert not find(browser, ".noisy")


def test_hovering_gives_the_numbers(page):
    from selenium.webdriver import ActionChains

    browser = page()
    dot = find(browser, "#chart-load-floor svg circle")[3]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", dot)
    ActionChains(browser).move_to_element(dot).move_by_offset(1, 0).perform()
    assert "× floor [" in browser.execute_script(
        "return document.querySelector('#chart-load-floor svg [aria-label=tip]').textContent"
    )
