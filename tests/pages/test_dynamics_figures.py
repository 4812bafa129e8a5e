"""Laws of the pictures of a run: nothing is left out silently, ellipses are the law's, arrows turn as modes do."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import dynamics_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.pages.dynamics_axes import APART, Panel, bar, marks, power, span, spread, thinned
from limen.pages.dynamics_figures import NARROW, WIDE, displacement, exponent
from limen.pages.dynamics_gauge import gauge
from limen.pages.dynamics_portraits import DIAL, ellipse, portrait, told
from limen.pages.dynamics_segments import MOST, segment_rows, timeline
from limen.pages.dynamics_temperature import temperature
from limen.pages.scales import Linear, Log
from limen.pages.svg import Caption
from limen.records.estimate import Estimate

CAPTION = Caption("title", "description")
PANEL = Panel(Log(1.0, 100.0, 0.0, 100.0), Log(0.1, 10.0, 200.0, 0.0))


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("draw", [displacement, exponent])
def test_the_law_of_the_sampling_is_the_heavier_line(draw: object, width: float) -> None:
    assert callable(draw)
    for found, own in ((cases.rest(), "discrete"), (cases.reshuffled(), "epoch")):
        drawn = str(draw(found, "k", width, CAPTION))
        tracks = re.findall(r'<path d="M[^"]*L[^"]*L[^"]*" class="track ([a-z ]+)"', drawn)
        assert sorted(tracks) == sorted(
            f"{law} own" if law == own else law for law in ("discrete", "langevin", "epoch")
        )  # fmt: skip


def test_no_law_no_line() -> None:
    assert 'class="track' not in str(displacement(cases.unpredicted(), "k", WIDE, CAPTION))


def test_a_lag_without_an_interval_is_hollow_and_the_last_dot_is_drawn() -> None:
    found = replace(cases.rest(), lags=cases.lags(12, 2))
    drawn = str(displacement(found, "k", WIDE, CAPTION))
    assert drawn.count('class="dot unsure"') == 2
    assert drawn.count('class="dot seen"') == drawn.count('class="bars seen"') == len(found.lags) - 2
    assert f"{found.lags[-1].lag} updates" in drawn


def test_a_hollow_exponent_beyond_the_frame_is_an_arrow() -> None:
    drawn = str(exponent(cases.rest(), "k", WIDE, CAPTION))
    assert len(re.findall(r'<path d="[^"]*" class="dot unsure"', drawn)) == 3
    inside = cases.lags(12, 0)
    assert "<path" in drawn
    assert not re.findall(r'<path d="[^"]*" class="dot', str(exponent(replace(cases.rest(), lags=inside), "k", WIDE,
                                                                      CAPTION)))  # fmt: skip


def test_dots_stand_where_their_values_are() -> None:
    found = replace(cases.rest(), lags=cases.lags(12, 0))
    drawn = str(displacement(found, "k", WIDE, CAPTION))
    dots = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="2.8"', drawn)]
    x, y = np.array(dots).T
    lag = np.log([at.lag for at in found.lags])
    value = np.log([at.measured.value or 0.0 for at in found.lags])
    assert np.corrcoef(lag, x)[0, 1] == pytest.approx(1.0, abs=1e-6)
    assert np.corrcoef(value, y)[0, 1] == pytest.approx(-1.0, abs=1e-6)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=60), st.floats(0.5, 40))
def test_thinned_dots_keep_their_distance_and_the_ends(pixels: list[float], apart: float) -> None:
    at = sorted(pixels)
    kept = thinned(at, apart)
    assert kept[0] == 0
    assert kept[-1] == len(at) - 1
    assert all(b > a for a, b in itertools.pairwise(kept))
    assert all(at[b] - at[a] >= apart for a, b in itertools.pairwise(kept[:-1]))


@given(st.lists(st.floats(0, 300), min_size=1, max_size=6))
def test_words_at_ends_never_touch(wanted: list[float]) -> None:
    places = spread(sorted(wanted), 0.0, 300.0)
    assert all(b - a >= APART - 1e-9 for a, b in itertools.pairwise(places))
    assert min(places) >= -1e-9
    assert max(places) <= 300.0 + 1e-9


def test_an_interval_that_leaves_the_frame_ends_in_an_arrow() -> None:
    assert str(bar(PANEL, 5, 0.5, 2.0, "b")).count("l2.5") == 0
    assert str(bar(PANEL, 5, -1.0, 2.0, "b")).count("l2.5") == 2
    assert "V0" in str(bar(PANEL, 5, 0.5, 99.0, "b"))


def test_marks_are_round_even_on_short_axes() -> None:
    assert len(marks(Log(1.1, 1.9, 0.0, 1.0), 4)) >= 3
    assert [text for _, text in marks(Log(1e-7, 1e-2, 0.0, 1.0), 6)][:2] == ["10⁻⁷", "10⁻⁶"]
    assert power("2e-05") == "2×10⁻⁵"
    assert span([None, 0.0, -3.0]) == (1.0, 10.0)


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.floats(-0.99, 0.99), st.sampled_from([1.0, 2.0]))
def test_ellipses_are_level_sets_of_the_predicted_covariance(x: float, v: float, r: float, k: float) -> None:
    shared = r * math.sqrt(x * v)
    inverse = np.linalg.inv(np.array([[x, shared], [shared, v]]))
    for corner in ellipse((x, shared, v), k)[::7]:
        at = np.array(corner)
        assert at @ inverse @ at == pytest.approx(k * k, rel=1e-6)


def test_two_ellipses_only_where_one_is_predicted() -> None:
    assert str(portrait(cases.orbit(1.0), "discrete", "k", CAPTION)).count('class="ellipse discrete"') == 2
    assert "ellipse" not in str(portrait(cases.orbit(1.0, predicted=False), "discrete", "k", CAPTION))


def head(drawn: str) -> tuple[float, float]:
    """Where the arrow of rotation points: its tip."""
    found = re.search(r'd="M[\d. -]+L([\d.-]+) ([\d.-]+)L[^"]*" class="rotation-head"', drawn)
    assert found is not None
    return float(found[1]), float(found[2])


def test_the_arrow_turns_with_the_sign_of_the_turn() -> None:
    forwards = head(str(portrait(cases.orbit(1.0, -0.4), "discrete", "k", CAPTION)))
    backwards = head(str(portrait(cases.orbit(1.0, 0.4), "discrete", "k", CAPTION)))
    assert forwards[0] > backwards[0]  # clockwise from the top: to the right and down
    assert forwards[1] > backwards[1]
    unsure = replace(cases.orbit(1.0), measured_turn=Estimate(-0.01, -0.1, 0.1, 0.95, "statistical"))
    assert "rotation-head" not in str(portrait(unsure, "discrete", "k", CAPTION))


def test_the_hand_of_the_dial_stands_at_the_measured_turn() -> None:
    drawn = str(portrait(cases.orbit(1.0, -math.pi / 2, False), "discrete", "k", CAPTION))
    hand = re.search(r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" class="hand"', drawn)
    assert hand is not None
    assert float(hand[3]) == pytest.approx(DIAL[0] + DIAL[2], abs=0.01)  # a quarter clockwise from upright: right
    assert float(hand[4]) == pytest.approx(DIAL[1], abs=0.01)
    assert "90.0° an update" in drawn


def test_portraits_say_the_turn_with_its_direction() -> None:
    text = told(cases.orbit(2.0, -math.pi / 6), "discrete")
    assert text.startswith("Curvature 2: turns 30.0° an update, clockwise (29.4° to 30.6°)")
    assert "against the clock" in told(cases.orbit(2.0, 0.3), "discrete")
    assert "turn not identified" in told(replace(cases.orbit(2.0), measured_turn=cases.SHORT), "discrete")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_mode_has_a_mark(width: float) -> None:
    found = cases.moving()
    drawn = str(temperature(found, "k", width, CAPTION))
    assert drawn.count('class="dot seen"') == 2 + 2  # temperature and z
    assert drawn.count('class="dot unsure"') == 4
    assert "h ≤ 0" in drawn
    assert "h ≤ 0" not in str(temperature(cases.rest(), "k", width, CAPTION))


def test_a_run_without_temperatures_draws_the_lane_alone() -> None:
    drawn = str(temperature(cases.short(), "k", WIDE, CAPTION))
    assert drawn.count('class="dot unsure"') == 2
    assert "temperature h·Var x" not in drawn
    assert 'class="agree"' not in drawn


def test_z_has_a_strip_only_where_there_is_z() -> None:
    assert 'class="agree"' in str(temperature(cases.rest(), "k", WIDE, CAPTION))
    assert 'class="agree"' not in str(temperature(cases.unpredicted(), "k", WIDE, CAPTION))


def test_gauges_place_z_and_point_beyond_their_ends() -> None:
    places = [re.search(r'<circle cx="([\d.]+)"', gauge(z)) for z in (-5.0, 0.0, 5.0)]
    assert [float(place[1]) for place in places if place is not None] == [6.0, 55.0, 104.0]
    assert "circle" not in gauge(5.1)
    assert gauge(5.1) != gauge(-5.1)


def test_the_bar_of_segments_shows_each_and_marks_the_analysed_one() -> None:
    found = cases.moving()
    drawn = str(timeline(found, "k", True))
    assert drawn.count('class="piece') == 3
    assert drawn.count("analysed") >= 2
    assert len(re.findall(r'class="piece \w+ analysed"', drawn)) == 1
    assert [row["analysed"] for row in segment_rows(found)] == ["no", "yes", "no"]
    assert segment_rows(found)[2]["learning_rate"] == "0.001, varying"
    many = cases.extreme()
    assert len(many.segments) > MOST
    assert 'class="piece' not in str(timeline(many, "k", True))
    assert len(segment_rows(many)) == len(many.segments)


def test_scales_of_flat_data_have_a_length() -> None:
    still = replace(cases.orbit(1.0), positions=(0.0, 0.0), velocities=(0.0, 0.0), ellipse=None)
    assert "NaN" not in str(portrait(still, "discrete", "k", CAPTION)).replace("nan", "NaN")
    assert isinstance(PANEL.y, Log)
    assert Panel(PANEL.x, Linear(0.0, 1.0, 10.0, 0.0)).holds(0.5)


def test_relaxation_times_are_a_band_of_the_modes_that_came_to_rest() -> None:
    found = cases.rest()
    quick, late = replace(found.modes[0], relaxation_steps=10.0), replace(found.modes[1], relaxation_steps=100.0)
    never = replace(found.modes[2], relaxation_steps=1000.0, equilibrated=False)
    widths = []
    for modes in ((quick, late), (quick, late, never), (quick,), (never,)):
        drawn = str(displacement(replace(found, modes=modes), "k", WIDE, CAPTION))
        band = re.search(r'<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)" height="[\d.]+" class="forget"', drawn)
        widths.append(None if band is None else float(band[1]))
    assert widths[0] == widths[1]
    assert widths[2] == 2.0
    assert widths[0] is not None
    assert widths[0] > 100
    assert widths[3] is None


def test_the_words_of_exponents_are_left_out_where_they_would_touch() -> None:
    assert "1 diffusing" in str(exponent(cases.rest(), "k", WIDE, CAPTION))
    drawn = str(exponent(cases.extreme(), "k", WIDE, CAPTION))
    assert "0 confined" in drawn
    assert "1 diffusing" not in drawn
