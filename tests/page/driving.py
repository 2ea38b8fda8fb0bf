"""How the page's tests find, click and read: plain functions on a browser."""

from __future__ import annotations

BACKENDS = 10
"""In the small run."""


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
