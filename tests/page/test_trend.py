"""The trend page: drawn from the history, for one backend too, and reached from the page."""

from __future__ import annotations

import pytest

from harness import history
from harness.page import trend
from harness.report import write_report
from tests import synthetic
from tests.page.driving import BACKENDS, find

CHOOSE = "const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs of `BACKENDS` in the history; the second has the trend page beside its own."""
    folder = tmp_path_factory.mktemp("trend")
    db = history.open_history(folder / "history.db")
    for day in (1, 2):
        made = synthetic.records(BACKENDS, seed=day)
        for record in made:
            record.run_id = f"2026010{day}-030405-abcd"
        run = synthetic.write(folder / str(day), made)
        (run / "environment.json").write_text(f'{{"python": "3.11.{day}", "versions": {{"torch": "2.14.1"}}}}')
        history.add(db, run)
    (folder / "2" / "trend.html").write_text(trend.render(db))
    for day in (1, 2):
        write_report(folder / str(day))
    return folder


def test_the_trend_is_drawn_and_its_choice_is_in_the_address(browser, folder):
    browser.get_log("browser")
    browser.get((folder / "2" / "trend.html").as_uri())
    assert len(find(browser, "#chart [aria-label=line] path")) == BACKENDS
    assert [one.text for one in find(browser, "#figures thead th")] == [
        "× floor", "2026-01-02 03:04:05", "2026-01-01 03:04:05"]  # fmt: skip
    assert len(find(browser, "#figures tbody tr")) == BACKENDS + 1
    assert "python 3.11.1 → 3.11.2" in find(browser, "#figures")[0].text
    name = synthetic.backends(BACKENDS)[1]
    browser.execute_script(CHOOSE, "backend", name)
    assert [one.text for one in find(browser, "#figures tbody th")][:-1] == [name]
    browser.execute_script(CHOOSE, "metric", "save")
    browser.refresh()
    assert browser.execute_script("return document.getElementById('metric').value") == "save"
    assert [one.text for one in find(browser, "#figures tbody th")][:-1] == [name]
    assert [one.text for one in find(browser, "#chart [aria-label=text] text")] == [name]
    assert browser.get_log("browser") == []


def test_the_page_leads_to_the_trend_that_lies_beside_it(browser, folder):
    browser.get((folder / "2" / "index.html").as_uri())
    assert [link.text for link in find(browser, "nav a[href='trend.html']")] == ["Over time"]
    browser.get((folder / "1" / "index.html").as_uri())
    assert not find(browser, "nav a[href='trend.html']")
