"""The page in a real browser: nothing leaves it, it reads without scripts, by keyboard, narrow, dark and on paper."""

from __future__ import annotations

from pathlib import Path

import page_cases as cases
import pytest
from axe_playwright_python.sync_playwright import Axe
from checked import opened
from playwright.sync_api import Browser

from limen.pages.page import render_html

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages")
    for name, case in cases.CASES.items():
        (path / f"{name}.html").write_text(render_html(case()), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["one", "study", "lone", "nothing", "hostile"])
def test_quiet_accessible_and_nothing_leaves(browser: Browser, folder: Path, name: str, scheme: str) -> None:
    page, asked, complaints = opened(browser, folder / f"{name}.html", color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert [url for url in asked if not url.startswith("file:")] == []
    assert len(asked) == 1
    assert complaints == []
    page.close()


@pytest.mark.parametrize("name", list(cases.CASES))
def test_320_pixels_are_enough(browser: Browser, folder: Path, name: str) -> None:
    page, _, _ = opened(browser, folder / f"{name}.html", width=320)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert Axe().run(page).violations_count == 0
    cut = page.evaluate("""() => [...document.querySelectorAll('svg')].flatMap(svg => {
        const box = svg.getBoundingClientRect();
        return box.width ? [...svg.querySelectorAll('text')].filter(t => {
            const b = t.getBoundingClientRect();
            return b.left < box.left - 2 || b.right > box.right + 2;
        }).map(t => t.textContent) : [];
    })""")
    assert cut == []
    page.close()


@pytest.mark.parametrize("name", ["one", "study", "dozen", "hostile"])
def test_no_text_leaves_its_picture(browser: Browser, folder: Path, name: str) -> None:
    page, _, _ = opened(browser, folder / f"{name}.html")
    cut = page.evaluate("""() => [...document.querySelectorAll('svg')].flatMap(svg => {
        const box = svg.getBoundingClientRect();
        return box.width ? [...svg.querySelectorAll('text')].filter(t => {
            const b = t.getBoundingClientRect();
            return b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1 || b.bottom > box.bottom + 1;
        }).map(t => t.textContent) : [];
    })""")
    assert cut == []
    page.close()


LAID_OUT = """() => {
    const found = [];
    const shown = [...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width);
    const around = (text) => {
        const b = text.getBoundingClientRect();  // a line of text is taller than its letters
        return { left: b.left + 1, right: b.right - 1, top: b.top + b.height * .2, bottom: b.bottom - b.height * .2 };
    };
    const nearest = (svg, box, series) => {
        let least = Infinity;
        for (const path of svg.querySelectorAll(`.series.${series}, .law.${series}`)) {
            const matrix = path.getScreenCTM(), length = path.getTotalLength();
            for (let at = 0; at <= length; at += 2) {
                const p = path.getPointAtLength(at).matrixTransform(matrix);
                const x = Math.max(box.left - p.x, 0, p.x - box.right);
                const y = Math.max(box.top - p.y, 0, p.y - box.bottom);
                least = Math.min(least, Math.hypot(x, y));
            }
        }
        return least;
    };
    const covers = (shape, box, test) => {
        const back = shape.getScreenCTM().inverse();
        for (let x = box.left; x <= box.right; x += 3) for (let y = box.top; y <= box.bottom; y += 3)
            if (shape[test](new DOMPoint(x, y).matrixTransform(back))) return true;
        return false;
    };
    for (const svg of shown) {
        const texts = [...svg.querySelectorAll('text')], boxes = texts.map(around);
        boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, k) => {
            if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
                found.push(`${texts[i].textContent} on ${texts[i + 1 + k].textContent}`);
        }));
        texts.forEach((text, i) => {
            for (const shape of svg.querySelectorAll('.ribbon'))
                if (covers(shape, boxes[i], 'isPointInFill')) found.push(`${text.textContent} on a ribbon`);
            const lines = '.whisker, .series:not(.path), .law, .theory, .needed, .floor-line';
            for (const shape of svg.querySelectorAll(lines))
                if (covers(shape, boxes[i], 'isPointInStroke')) found.push(`${text.textContent} on ${shape.classList}`);
            const dots = ['held-out', 'training', 'measured', 'ring'].map(name => `circle.dot.${name}`).join(', ');
            for (const dot of svg.querySelectorAll(dots)) {
                const d = dot.getBoundingClientRect(), b = boxes[i];
                if (d.left < b.right && b.left < d.right && d.top < b.bottom && b.top < d.bottom)
                    found.push(`${text.textContent} on a dot`);
            }
        });
        for (const [own, other] of [['training', 'held-out'], ['held-out', 'training']])
            texts.filter(text => text.classList.contains(own)).forEach(text => {
                const box = around(text);
                const nearer = nearest(svg, box, own) >= nearest(svg, box, other);
                if (nearer) found.push(`${text.textContent} nearer to ${other}`);
            });
    }
    return found;
}"""


@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("name", list(cases.CASES))
def test_no_words_lie_on_other_words_or_marks(browser: Browser, folder: Path, name: str, width: int) -> None:
    page, _, _ = opened(browser, folder / f"{name}.html", width=width)
    assert page.evaluate(LAID_OUT) == []
    page.close()


def test_keyboard_walks_the_dots(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "one.html")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "plot":
            break
    assert page.evaluate("document.activeElement.className") == "plot"
    page.keyboard.press("ArrowRight")
    first = page.locator("#tip").inner_text()
    assert "labels, seed 0: training" in first
    assert "(this dot)" in first
    assert "made by: limen run study.toml" in first
    here = "(d => d.getAttribute('cx') + ' ' + d.getAttribute('cy'))(document.querySelector('.dot.here'))"
    walked = [page.evaluate(here)]
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        walked.append(page.evaluate(here))
        assert page.locator(".dot.here").count() == 1
    assert len(set(walked)) == 5
    assert page.locator("#tip").inner_text() != first
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.close()


def test_pointer_names_the_subset(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "one.html")
    page.locator(".for-wide .dot.held-out").last.hover()
    assert "7,502 labels, all rows: held out 0.267 (this dot), training" in page.locator("#tip").inner_text()
    page.close()


def test_details_open_by_keyboard(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "one.html")
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.evaluate("d => d.open")
    page.close()


def test_reads_without_javascript(browser: Browser, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "study.html").as_uri())
    assert page.locator("svg .dot title").count() > 100
    assert page.locator("p.lead").first.is_visible()
    assert page.locator("figure svg").first.is_visible()
    page.locator("summary").nth(1).click()
    assert page.locator("table").first.is_visible()
    context.close()


def test_hostile_names_run_nothing(browser: Browser, folder: Path) -> None:
    page = browser.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto((folder / "hostile.html").as_uri())
    assert dialogs == []
    assert page.locator("script").count() == 1
    page.close()


def test_prints_light_with_all_pictures(browser: Browser, folder: Path) -> None:
    page, _, complaints = opened(browser, folder / "study.html", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert len(page.pdf()) > 10_000
    assert complaints == []
    page.close()


def test_a_recorded_run_prints_wide_and_leaves_the_rest_of_the_report_as_it_is(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "lone.html", width=700)
    page.emulate_media(media="print")
    assert page.locator(".run .for-wide svg").first.is_visible()
    assert page.locator(".run .for-narrow svg").first.is_hidden()
    assert page.locator("section[aria-labelledby=chain] .for-narrow svg").first.is_visible()
    assert page.locator("section[aria-labelledby=chain] .for-wide svg").first.is_hidden()
    page.close()


def test_keyboard_walks_the_dots_of_a_recorded_run(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "lone.html")
    plot = page.locator(".run .plot").first
    plot.focus()
    assert plot.get_attribute("aria-label") == "Displacement against lag, net-rest. Arrow keys walk through the dots."
    page.keyboard.press("ArrowRight")
    said = page.locator("#tip").inner_text()
    assert said.startswith("1 update: E‖Δθ‖²")
    assert "made by: limen dynamics study.toml::net-rest -o page.html" in said
    page.close()


def test_reduced_motion_moves_nothing(browser: Browser, folder: Path) -> None:
    page, _, _ = opened(browser, folder / "one.html", reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.getElementById('tip')).transitionDuration") == "0s"
    page.close()
