"""The page of a run in a real browser: nothing leaves it, it reads without scripts, by keyboard, narrow, on paper."""

from __future__ import annotations

from pathlib import Path

import dynamics_cases as cases
import pytest
from axe_playwright_python.sync_playwright import Axe
from checked import opened
from playwright.sync_api import Browser

from limen.pages.dynamics_page import render_page

pytestmark = pytest.mark.browser

OPEN = "document.querySelectorAll('details').forEach(d => d.open = true)"
OUTSIDE = """() => [...document.querySelectorAll('svg[role=img]')].flatMap(svg => {
    const box = svg.getBoundingClientRect();
    return box.width ? [...svg.querySelectorAll('text')].filter(t => {
        const b = t.getBoundingClientRect();
        return b.left < box.left - 2 || b.right > box.right + 2 || b.top < box.top - 2 || b.bottom > box.bottom + 2;
    }).map(t => t.textContent) : [];
})"""
# words on words anywhere; words on the lines and dots of the plots against lag and curvature (in a portrait the path
# fills the frame: there words have a halo)
LAID_OUT = """() => {
    const found = [];
    for (const svg of document.querySelectorAll('svg[role=img]')) {
        if (!svg.getBoundingClientRect().width) continue;
        const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim());
        const boxes = texts.map(t => {
            const b = t.getBoundingClientRect();
            return {left: b.left + 1, right: b.right - 1, top: b.top + b.height * .2, bottom: b.bottom - b.height * .2};
        });
        boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, k) => {
            if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
                found.push(`${texts[i].textContent} on ${texts[i + 1 + k].textContent}`);
        }));
        texts.forEach((text, i) => {
            const box = boxes[i];
            for (const shape of svg.querySelectorAll('.track:not(.key)')) {
                const back = shape.getScreenCTM().inverse();
                for (let x = box.left; x <= box.right; x += 3) for (let y = box.top; y <= box.bottom; y += 3)
                    if (shape.isPointInStroke(new DOMPoint(x, y).matrixTransform(back)))
                        { found.push(`${text.textContent} on a line`); x = Infinity; break; }
            }
            for (const dot of svg.querySelectorAll('.dot.seen, .dot.unsure')) {
                const d = dot.getBoundingClientRect();
                if (d.left < box.right && box.left < d.right && d.top < box.bottom && box.top < d.bottom)
                    found.push(`${text.textContent} on a dot`);
            }
        });
    }
    return found;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dynamics")
    for name, case in cases.CASES.items():
        (path / f"{name}.html").write_text(render_page(case()), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", list(cases.CASES))
def test_quiet_accessible_and_nothing_leaves(browser: Browser, folder: Path, name: str, scheme: str) -> None:
    page, asked, complaints = opened(browser, folder / f"{name}.html", color_scheme=scheme)
    page.evaluate(OPEN)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert len(asked) == 1
    assert asked[0].startswith("file:")
    assert complaints == []
    page.close()


@pytest.mark.parametrize("width", [1200, 760, 320])
@pytest.mark.parametrize("name", list(cases.CASES))
def test_every_width_holds_the_page_and_its_words(browser: Browser, folder: Path, name: str, width: int) -> None:
    page, _, _ = opened(browser, folder / f"{name}.html", width=width)
    page.evaluate(OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(LAID_OUT) == []
    page.close()


def test_the_check_of_words_sees_words_on_words(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "rest.html")
    page.evaluate("""() => {
        const svg = document.querySelector('svg[role=img]'), text = svg.querySelector('text.tick');
        svg.append(text.cloneNode(true));
        const dot = svg.querySelector('.dot.seen'), moved = text.cloneNode(true);
        moved.setAttribute('text-anchor', 'middle');
        moved.setAttribute('x', dot.getAttribute('cx'));
        moved.setAttribute('y', dot.getAttribute('cy'));
        svg.append(moved);
    }""")
    found = page.evaluate(LAID_OUT)
    assert any(" on a dot" in text for text in found)
    assert any(" on a line" in text for text in found)
    assert len(found) >= 3
    page.close()


def test_keyboard_walks_the_lags(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "rest.html")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "plot":
            break
    assert page.evaluate("document.activeElement.className") == "plot"
    page.keyboard.press("ArrowRight")
    first = page.locator("#tip").inner_text()
    assert first.startswith("1 update: E‖Δθ‖²")
    assert "discrete" in first
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text() != first
    assert page.locator(".dot.here").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.close()


def test_pointer_names_the_mode(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "rest.html")
    page.locator("[data-name='Temperature of every mode'] .for-wide .dot.seen").first.hover()
    assert "curvature 4, underdamped: temperature" in page.locator("#tip").inner_text()
    page.close()


def test_reads_without_javascript(browser: Browser, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "rest.html").as_uri())
    assert page.locator("svg .dot title").count() > 50
    assert page.locator("p.lead").first.is_visible()
    page.locator("summary").first.click()
    assert page.locator("table").first.is_visible()
    context.close()


def test_markup_runs_nothing(browser: Browser, folder: Path) -> None:
    page = browser.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto((folder / "hostile.html").as_uri())
    assert dialogs == []
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 0
    page.close()


def test_prints_light_with_all_pictures(browser: Browser, folder: Path) -> None:
    page, _, complaints = opened(browser, folder / "rest.html", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('.dot.seen')).fill") == "rgb(0, 0, 0)"
    page.set_viewport_size({"width": 700, "height": 900})  # the width of a sheet of A4
    assert page.locator("figure .for-wide svg").first.is_visible()
    assert page.locator("figure .for-narrow svg").first.is_hidden()
    assert len(page.pdf()) > 10_000
    assert complaints == []
    page.close()


def test_reduced_motion_moves_nothing(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "rest.html", reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.getElementById('tip')).transitionDuration") == "0s"
    page.close()
