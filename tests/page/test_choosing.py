"""The choice: toggles, situations, the address, and the one ranking of page and terminal."""

from __future__ import annotations

import pytest

from harness import recommend
from harness.findings.needs import facts_table
from harness.recommend import Choice
from harness.records import read_records
from tests.page.driving import BACKENDS, all_ranks, click, find, toggle


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
        "pre_post", "saved_from_notebook", "source_absent", "other_python"}  # fmt: skip


def test_situations_add_up(page):
    """The question of a model from a notebook, served by another team from a store that strangers can write to."""
    browser = page()

    def press(title: str) -> set[str]:
        next(button for button in find(browser, ".scenario") if button.text == title).click()
        return {box.get_attribute("value") for box in find(browser, "[name=need]:checked")}

    notebook = {"pre_post", "saved_from_notebook", "source_absent", "other_python"}
    assert press("From a notebook to another team") == notebook
    both = press("From a store that strangers can write to")
    assert both == notebook | {"safe_load", "damage_noticed"}
    assert len(find(browser, ".scenario[aria-pressed=true]")) == 2
    assert press("From a notebook to another team") == {"pre_post", "safe_load", "damage_noticed"}
    assert press("From a store that strangers can write to") == set()


def test_a_link_opens_a_backends_page_and_keeps_the_choice(page):
    browser = page("#need=safe_load&weight=&at=backend-json_spec")
    assert find(browser, "#backend-json_spec[open]")
    click(browser, "#ranking .more a")
    assert browser.execute_script("return location.hash").startswith("#need=safe_load&weight=&at=backend-")
    assert [box.get_attribute("value") for box in find(browser, "[name=need]:checked")] == ["safe_load"]
    assert page("#backend-dill").execute_script("return document.getElementById('backend-dill').open")
