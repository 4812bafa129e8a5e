"""Laws of the drawing layer: well-formed XML for every text, equal bytes, scales that hit their ends, round ticks."""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.pages.scales import Linear, Log, extent, log_ticks, ticks
from limen.pages.svg import Caption, el, escape, label, number, picture, shorten


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_gives_well_formed_xml_that_says_it(text: str) -> None:
    drawn = str(picture("k", (10, 10), Caption(text, text), label(0, 0, text), el("g", data_name=text)))
    root = ElementTree.fromstring(drawn)
    said = root.find("{http://www.w3.org/2000/svg}title")
    assert said is not None
    kept = "".join(c if c.isprintable() else " " for c in text if c != "\r")
    if kept == text:
        assert (said.text or "") == text


def test_markup_in_a_name_stays_text() -> None:
    assert "<script" not in escape("<script>alert(1)</script>")
    assert str(el("text", "</text><script>")) == "<text>&lt;/text&gt;&lt;script&gt;</text>"
    assert str(el("g", class_='"><script>')) == '<g class="&quot;&gt;&lt;script&gt;"/>'


@pytest.mark.parametrize(("value", "shown"), [(0.0, "0"), (-0.0, "0"), (10, "10"), (1.005, "1"), (-2.5, "-2.5")])
def test_coordinates_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(finite, st.floats(1e-3, 1e6), finite)
def test_linear_scale_hits_its_ends_and_is_affine(low: float, width: float, value: float) -> None:
    scale = Linear(low, low + width, 100.0, 20.0)
    assert scale(low) == pytest.approx(100.0)
    assert scale(low + width) == pytest.approx(20.0)
    assert scale((low + value) / 2) == pytest.approx((scale(low) + scale(value)) / 2, rel=1e-6, abs=1e-3)


def test_log_scale_turns_ratios_into_distances() -> None:
    scale = Log(10.0, 1000.0, 0.0, 200.0)
    assert scale(100.0) == pytest.approx(100.0)
    assert scale(20.0) - scale(10.0) == pytest.approx(scale(1000.0) - scale(500.0))


@given(finite, st.floats(1e-3, 1e6))
def test_ticks_are_inside_round_and_few(low: float, width: float) -> None:
    high = low + width
    found = ticks(low, high, 5)
    assert 2 <= len(found) <= 11
    assert all(low - 1e-6 * width <= value <= high + 1e-6 * width for value, _ in found)
    steps = {round((b - a) / width, 6) for (a, _), (b, _) in itertools.pairwise(found)}
    assert max(steps) - min(steps) < 1e-4
    assert len({text for _, text in found}) == len(found)


def test_log_ticks_are_few_over_many_decades() -> None:
    found = log_ticks(1.0, 1e9, 5)
    assert len(found) <= 5
    assert all(math.log10(value) == pytest.approx(round(math.log10(value))) for value, _ in found)


def test_extent_of_equal_values_has_a_length() -> None:
    low, high = extent([3.0, 3.0])
    assert low < 3.0 < high
    low, high = extent([0.0])
    assert low < 0.0 < high


def test_shorten_keeps_to_one_line() -> None:
    assert "\n" not in shorten("a\nb", 100)
    assert len(shorten("x" * 500, 100)) < 20
