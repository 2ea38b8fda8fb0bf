"""The matrix and what it and the sections open to: message, path, command."""

from __future__ import annotations

from harness.findings.questions import QUESTIONS
from harness.records import read_records
from tests.page.driving import click, find


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


def test_edited_code_has_a_mark_of_its_own(page, run):
    chosen = [record for record in read_records(run).records if record.condition == "source_edited"
              and record.outcome == "mismatch" and record.code_ran == "edited" and record.kind == "cell"]  # fmt: skip
    browser = page()
    marks = find(browser, "#heat .edited")
    assert sum(int(mark.text.removeprefix("✎")) for mark in marks) == len(chosen) > 0
    button = marks[0].find_element("xpath", "..")
    assert "ran edited code" in button.get_attribute("aria-label")


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
    assert sum(int(text.partition("/")[2]) for text in counts().values()) == len(traits) == 12
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
