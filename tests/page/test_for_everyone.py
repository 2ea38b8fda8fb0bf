"""Nothing leaves the page; it can be used with a keyboard, a finger and a screen reader, and printed; its limits."""

from __future__ import annotations

import base64
import json
import re

import pytest

from harness.records import read_records
from tests.page.driving import BACKENDS, click, find, shown_order


def test_nothing_leaves_the_page(page, run):
    browser = page()
    click(browser, "#heat button")
    asked = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    home = (run / "index.html").as_uri()
    assert asked
    assert [url for url in asked if not url.startswith((home, "data:", "about:"))] == []


OF_COLORS = ", runOnly: ['color-contrast', 'link-in-text-block']"
"""Axe's rules that can find other things in the dark."""


@pytest.mark.parametrize(("theme", "rules"), [("light", ""), ("dark", OF_COLORS)], ids=["light", "dark"])
def test_axe_finds_nothing_serious(browser, run, theme, rules):
    """Of what passes, axe tells one example a rule: to tell all of it costs as much as to find out."""
    hint = "axe is not installed: pip install selenium-axe-python"
    axe = pytest.importorskip("selenium_axe_python", reason=hint).Axe(browser)
    browser.get("about:blank")
    browser.get((run / "index.html").as_uri() + "#need=source_absent,safe_load,other_language&weight=load:2")
    browser.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
    for details in ("#backend-pickle", "#backend-json_spec", "#model-detector", "#chart-memory details"):
        browser.execute_script(f"document.querySelector('{details}').open = true")
    browser.execute_script("document.querySelector('[name=view][value=difficulties]').click()")
    axe.inject()

    def serious() -> list[str]:
        found = axe.run(options=f"{{resultTypes: ['violations']{rules}}}")
        assert found["passes"]
        return [
            f"{item['id']}: {item['help']}: {[node['html'][:160] for node in item['nodes'][:3]]}"
            for item in found["violations"]
            if item["impact"] in ("serious", "critical")
        ]

    assert serious() == []
    browser.execute_script("document.querySelector('[name=view][value=conditions]').click()")
    browser.execute_script("document.querySelector('#heat .wrong').closest('button').click()")
    assert serious() == []


def test_it_can_be_used_with_the_keyboard_alone(page):
    from selenium.webdriver import ActionChains, Keys

    browser = page("#need=&weight=")

    def press(*keys) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    def focused(attribute: str) -> str | None:
        return browser.switch_to.active_element.get_attribute(attribute)

    press(Keys.TAB)
    assert focused("class") == "skip"
    for _ in range(30):
        press(Keys.TAB)
        if focused("name") == "need":
            break
    before = shown_order(browser)
    press(Keys.SPACE)
    assert find(browser, "[name=need]:checked")
    assert shown_order(browser) != before
    for _ in range(60):
        press(Keys.TAB)
        if "reason" in (focused("class") or ""):
            break
    reason = browser.switch_to.active_element
    press(Keys.ENTER)
    assert browser.execute_script("return document.getElementById('evidence').open")
    press(Keys.ESCAPE)
    assert not browser.execute_script("return document.getElementById('evidence').open")
    assert browser.switch_to.active_element == reason


def test_it_fits_a_phone(page):
    browser = page()
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser = page()
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_a_phone_names_are_whole_wide_tables_say_so_and_fingers_have_room(page):
    browser = page()
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        browser = page("#need=safe_load&at=backend-pickle")
        browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
        hint = "return getComputedStyle(document.querySelector(arguments[0]), '::before').content"
        assert "scroll sideways" in browser.execute_script(hint, "#heat")
        assert "scroll sideways" in browser.execute_script(hint, "#backend-pickle .scroll:has(.numbers)")
        cut = "return [...document.querySelectorAll('#heat tbody th')].filter((th) => th.scrollWidth > th.clientWidth)"
        assert browser.execute_script(f"{cut}.length") == 0
        small = browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => [one, one.getBoundingClientRect()])"
            ".filter(([, box]) => box.height && box.height < 31.9).map(([one]) => one.outerHTML.slice(0, 90))",
            ".need, .scenario, .actions button, #ranking summary, #heat button, .top nav a, #theme, select, "
            ".segmented label, .page > summary",
        )
        assert small == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    browser = page()
    assert browser.execute_script("return matchMedia('(pointer: coarse)').matches") is False


def test_paper_has_the_ranking_with_reasons_tables_and_charts(page):
    """And no section of a backend or model but those that the reader has opened."""
    browser = page("#need=safe_load&weight=&at=backend-dill")
    browser.execute_script("document.documentElement.dataset.theme = 'dark'")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.execute_script("dispatchEvent(new Event('beforeprint'))")
        assert browser.execute_script("return document.documentElement.dataset.theme") == "light"
        assert not find(browser, ":is(#ranking, #charts, #method) details:not([open])")
        assert len(find(browser, "#charts details tbody tr")) > 10 * BACKENDS
        assert [one.get_attribute("id") for one in find(browser, "details.page[open]")] == ["backend-dill"]
        assert "is in the file itself" in find(browser, ".on-paper")[0].text
        browser.execute_script("dispatchEvent(new Event('afterprint'))")
        assert not find(browser, ":is(#charts, #method) details[open]")
        assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_paper_is_short(page, large):
    """Thousands of records, 27 backends and growth of all of them: at most 25 pages."""
    browser = page()
    browser.get((large / "index.html").as_uri())
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert 5 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 25


def test_three_thousand_records_are_shown(page, large, record_property):
    """Prints how long it took; no limit here, for machines differ."""
    browser = page()
    browser.get((large / "index.html").as_uri())
    took_ms = browser.execute_script("return performance.getEntriesByType('navigation')[0].domComplete")
    record_property("rendered_ms", took_ms)
    size = (large / "index.html").stat().st_size
    print(f"\n{len(read_records(large).records)} records, {size / 1e6:.2f} MB: complete after {took_ms:.0f} ms")
    assert len(find(browser, "#heat tbody tr")) == 27
