"""The page in a real browser: headless Chromium, driven through selenium. `make chromium` installs it on Debian.

The runs are synthetic, with records of every kind: a small one for most tests, one of more than 3,000 for the limits.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from harness import recommend, report
from harness.needs import facts_table
from harness.questions import QUESTIONS
from harness.recommend import Choice
from harness.records import read_records
from tests import synthetic

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",
)  # fmt: skip

BACKENDS = 10

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium and ChromeDriver are not installed: `make chromium` (Debian)"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = synthetic.write(tmp_path_factory.mktemp("page") / "run", synthetic.records(BACKENDS, traits=12))
    report.write_report(folder)
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    folder = synthetic.write(tmp_path_factory.mktemp("page") / "large", synthetic.records())
    report.write_report(folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(prefix="roundtrip-chromium-") as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1300,900"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        driver.set_script_timeout(120)
        yield driver
        driver.quit()


@pytest.fixture
def page(browser, run):
    """Opens the page anew, with something after the #; afterwards the console must have been silent."""

    def open_(address: str = ""):
        browser.get("about:blank")
        browser.get((run / "index.html").as_uri() + address)
        assert browser.execute_script("return document.documentElement.dataset.ready") == "true"
        return browser

    browser.get_log("browser")
    browser.get_log("performance")
    yield open_
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def find(browser, selector: str):
    return browser.find_elements("css selector", selector)


def click(browser, selector: str) -> None:
    """In the middle of the window, where nothing covers it."""
    target = find(browser, selector)[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", target)
    target.click()


def toggle(browser, need: str) -> None:
    click(browser, f'[name=need][value="{need}"]')


def shown_order(browser) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll('#ranking > li')].map(li => li.dataset.backend)"
    )


def all_ranks(browser) -> list[str]:
    if browser.execute_script("return document.getElementById('all-ranks').textContent").endswith("more"):
        click(browser, "#all-ranks")
    return shown_order(browser)


def test_toggles_change_the_ranking_at_once_and_back(page):
    browser = page("#need=&weight=")
    before = all_ranks(browser)
    assert len(before) == BACKENDS
    toggle(browser, "safe_load")
    after = all_ranks(browser)
    assert after != before
    assert sorted(after) == sorted(before)
    toggle(browser, "safe_load")
    assert all_ranks(browser) == before


CHOICES = [
    Choice(),
    Choice(("pre_post",), {"load": 1}),
    Choice(("source_absent", "safe_load", "damage_noticed"), {"load": 3, "size": 1}),
    Choice(("other_python", "trainable", "a_condition_of_the_future"), {"memory": 2, "save": 3}),
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_page_and_terminal_give_the_same_ranking(page, run, choice):
    pytest.importorskip(
        "quickjs", reason="the terminal's engine is not installed: pip install 'roundtrip-bench[report]'"
    )
    weights = ",".join(f"{cost}:{weight}" for cost, weight in (choice.weights or {}).items())
    browser = page(f"#need={','.join(choice.needs)}&weight={weights}")
    expected = recommend.rank(facts_table(read_records(run).records, "3.11.7"), choice)
    assert all_ranks(browser) == [item["backend"] for item in expected["order"]]
    assert find(browser, "#sentence")[0].text == expected["sentence"]


def test_the_address_restores_the_choice(page):
    browser = page("#need=&weight=")
    toggle(browser, "source_absent")
    toggle(browser, "readable")
    browser.execute_script(
        "const range = document.getElementById('weight-size'); range.value = 3; range.dispatchEvent(new Event('input'))"
    )
    order, sentence = all_ranks(browser), find(browser, "#sentence")[0].text
    address = browser.execute_script("return location.hash")
    assert address == "#need=source_absent,readable&weight=size:3"
    browser = page(address)
    checked = [box.get_attribute("value") for box in find(browser, "[name=need]:checked")]
    assert sorted(checked) == ["readable", "source_absent"]
    assert find(browser, "#weight-size")[0].get_attribute("value") == "3"
    assert (all_ranks(browser), find(browser, "#sentence")[0].text) == (order, sentence)


@pytest.mark.parametrize(
    "address", ["#need=nonsense,safe_load&weight=load:99,x:1,size:-4", "#%3Cb%3E", "#at=nowhere", "#%E0"]
)
def test_an_address_that_makes_no_sense_breaks_nothing(page, address):
    assert len(all_ranks(page(address))) == BACKENDS


def test_a_scenario_is_a_choice(page):
    browser = page("#need=&weight=")
    click(browser, ".scenario")
    assert find(browser, ".scenario")[0].get_attribute("aria-pressed") == "true"
    assert {box.get_attribute("value") for box in find(browser, "[name=need]:checked")} == {
        "pre_post", "saved_from_main", "source_absent", "other_python"}  # fmt: skip


def test_situations_add_up(page):
    """The question of a model from a notebook, served by another team from a store that strangers can write to."""
    browser = page()

    def press(title: str) -> set[str]:
        next(button for button in find(browser, ".scenario") if button.text == title).click()
        return {box.get_attribute("value") for box in find(browser, "[name=need]:checked")}

    notebook = {"pre_post", "saved_from_main", "source_absent", "other_python"}
    assert press("From a notebook to another team") == notebook
    both = press("From a store that strangers can write to")
    assert both == notebook | {"safe_load", "damage_noticed"}
    assert len(find(browser, ".scenario[aria-pressed=true]")) == 2
    assert press("From a notebook to another team") == {"pre_post", "safe_load", "damage_noticed"}
    assert press("From a store that strangers can write to") == set()


def test_a_reason_opens_the_cells_that_prove_it(page):
    browser = page("#need=source_absent&weight=")
    (button, *_) = find(browser, "#ranking li:first-child .reason")
    count = len(button.get_attribute("data-cells").split(","))
    button.click()
    assert browser.execute_script("return document.getElementById('evidence').open")
    assert len(find(browser, "#evidence .cell")) == count
    assert "source_absent" in find(browser, "#evidence .what")[0].text


def test_a_cell_of_the_matrix_opens_to_message_path_and_command(page, run):
    browser = page()
    click(browser, "#heat button .wrong")
    first = find(browser, "#evidence .cell")[0]
    assert first.find_element("css selector", ".outcome").text == "mismatch"
    assert "model.layers.0.weight[0]: was 0.5, is now 0.25" in first.text
    assert "40 differences, the first 6" in first.text
    assert "pytest benchmarks/ --model" in first.find_element("css selector", ".rerun pre").text
    click(browser, "#evidence-close")
    assert not browser.execute_script("return document.getElementById('evidence').open")


def test_the_matrix_counts_what_the_records_say(page, run):
    records = [record for record in read_records(run).records if record.kind == "cell" and record.backend == "dill"]
    browser = page()

    def counts() -> dict[str, str]:
        heads = [head.text.replace("\n", " ") for head in find(browser, "#heat thead th")]
        row = next(row for row in find(browser, "#heat tbody tr") if row.text.startswith("dill\n"))
        return dict(
            zip(
                heads,
                (
                    cell.text.partition("✕")[0].replace(" ", "").strip()
                    for cell in row.find_elements("css selector", "td")
                ),
                strict=True,
            )
        )

    def expected(chosen) -> str:
        chosen = [record for record in chosen if record.outcome != "unavailable"]
        part = sum(record.outcome == "partial" for record in chosen)
        return f"{sum(record.outcome in ('exact', 'close') for record in chosen)}/{len(chosen)}" + f"+{part}" * bool(
            part
        )

    reference = [record for record in records if not record.model.startswith("trait/")]
    assert counts()["class moved"] == expected([r for r in reference if r.condition == "class_moved"])
    assert counts()["other interpreter"] == expected([r for r in reference if r.condition == "other_interpreter"])
    click(browser, "[name=view][value=traits]")
    traits = [record for record in records if record.model.startswith("trait/")]
    traits = [record for record in traits if record.outcome != "unavailable"]
    assert sum(int(text.partition("/")[2]) for text in counts().values()) == len(traits) == 11
    click(browser, "[name=view][value=models]")
    (one,) = [r for r in reference if (r.model, r.condition) == ("detector", "fresh_process")]
    assert counts()["detector"] == one.outcome


def test_every_difficulty_opens_to_its_evidence(page, run):
    traits = [record for record in read_records(run).records if record.model.startswith("trait/")]
    wrong = [record for record in traits if record.outcome == "mismatch"]
    browser = page()
    click(browser, "[name=view][value=difficulties]")
    assert find(browser, "#heat h3")[0].text.startswith(f"Silently wrong: {len(wrong)} cells")
    shown = {button.get_attribute("aria-label") for button in find(browser, "#heat .family[open] button.silent")}
    assert shown == {f"{record.backend}: {record.model}: mismatch" for record in wrong}
    click(browser, "#heat .family:not([open]) summary")
    browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")  # toggle events
    letters = find(browser, "#heat .family:last-of-type button")
    assert {letter.text for letter in letters} <= set("ECP✕FU†?")
    click(browser, "#heat button.silent")
    first = find(browser, "#evidence .cell")[0]
    assert "model.layers.0.weight[0]: was 0.5, is now 0.25" in first.text
    assert first.find_element("css selector", ".rerun pre").text


def test_a_command_is_filled_in_again(page, run):
    """Of every cell: the page writes commands once, with names left out."""
    expected = [record.rerun for record in read_records(run).records]
    browser = page()
    shown = browser.execute_script(
        "return DATA.cells.map((cell) => inside(cell).querySelector('.rerun pre')?.textContent ?? '')"
    )
    assert shown == expected


def test_a_buttons_title_says_where_it_stands(page):
    browser = page("#backend-dill")
    for selector, title in (
        ("#backend-dill tbody tr:first-child td button", "dill: same process, "),
        ("#backend-dill .questions button", f"dill: {next(iter(QUESTIONS))}"),
    ):
        click(browser, selector)
        assert find(browser, "#evidence-title")[0].text.startswith(title)
        click(browser, "#evidence-close")
    browser = page("#model-detector")
    click(browser, "#model-detector tbody button")
    assert find(browser, "#evidence-title")[0].text.startswith("pickle: ✔")


def test_a_backends_page_answers_what_people_ask_first(page, run):
    browser = page("#backend-pickle")
    asked = [item.text for item in find(browser, "#backend-pickle .questions dt")]
    assert [text.split("\n")[-1] for text in asked] == list(QUESTIONS)
    click(browser, "#backend-pickle .questions button")
    assert find(browser, "#evidence .cell")


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
    assert min(len(find(browser, f"#chart-{name} tbody tr")) for name in CHARTS) >= BACKENDS


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
    report.write_report(folder)
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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, run, theme):
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
        return [
            f"{item['id']}: {item['help']}: {[node['html'][:160] for node in item['nodes'][:3]]}"
            for item in axe.run()["violations"]
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


def test_a_link_opens_a_backends_page_and_keeps_the_choice(page):
    browser = page("#need=safe_load&weight=&at=backend-json_spec")
    assert find(browser, "#backend-json_spec[open]")
    click(browser, "#ranking .more a")
    assert browser.execute_script("return location.hash").startswith("#need=safe_load&weight=&at=backend-")
    assert [box.get_attribute("value") for box in find(browser, "[name=need]:checked")] == ["safe_load"]
    assert page("#backend-dill").execute_script("return document.getElementById('backend-dill').open")


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
