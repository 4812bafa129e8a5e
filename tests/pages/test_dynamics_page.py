"""The page of a run says every number it got, says what it refuses and why, and lets no text become markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import dynamics_cases as cases
import pytest
from checked import Table, check_policy, check_self_contained, says, seen

from limen.pages import dynamics_captions as captions
from limen.pages import dynamics_words as words
from limen.pages.dynamics_page import render_page
from limen.records.dynamics import Compared, ModeVerdict
from limen.records.errors import BadInput
from limen.records.estimate import Estimate
from limen.verbs.dynamics import write_page

ORDER = ("moves", "portraits", "heat", "identities", "answers", "segments", "recipe")


@pytest.mark.parametrize("name", list(cases.CASES))
def test_page_is_self_contained_and_its_references_resolve(name: str) -> None:
    check_self_contained(render_page(cases.CASES[name]()))


@pytest.mark.parametrize("name", list(cases.CASES))
def test_sections_come_in_order_and_pictures_have_words_and_a_table(name: str) -> None:
    page = render_page(cases.CASES[name]())
    places = [page.index(f'<h2 id="{section}"') for section in ORDER if f'<h2 id="{section}"' in page]
    assert places == sorted(places)
    for figure in re.findall(r"<figure.*?</figure>", page, re.DOTALL):
        assert re.search(r"<figcaption>[^<]{20,}", figure)
        assert "<table" in figure or 'class="time"' in figure
        assert figure.count("<title id=") == figure.count("<desc id=") > 0


def test_same_run_gives_the_same_bytes() -> None:
    assert render_page(cases.moving()) == render_page(cases.moving())


def test_markup_in_any_text_stays_text() -> None:
    page = render_page(cases.hostile())
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\x00" not in page
    assert page.count("<script") == page.count("</script>") == 1


def test_policy_forbids_everything_but_the_script_of_the_page() -> None:
    check_policy(render_page(cases.rest()))


def test_every_lag_mode_identity_answer_and_segment_is_in_a_table_or_card() -> None:
    found = cases.moving()
    page = render_page(found)
    for lag in found.lags:
        assert f'<th scope="row">{lag.lag:,}</th>' in page
    for mode in found.modes:
        assert f'<th scope="row">{words.figure(mode.curvature)}</th>' in page
    for name in found.identities:
        assert f"{name} · " in page
    assert page.count('<li class="card') == len(found.answers) == 13
    assert page.count('<li class="card refused">') == 6
    for piece in found.segments:
        assert f"{piece['start']:,} to {piece['stop']:,}" in page
    for warning in found.warnings:
        assert f"<li>{warning}</li>" in page


def test_pages_stay_small() -> None:
    assert len(render_page(cases.rest()).encode()) < 250_000
    assert len(render_page(cases.extreme()).encode()) < 500_000


@pytest.mark.parametrize(
    ("case", "strong"), [("rest", "at rest"), ("moving", "not at rest"), ("short", "not known"), ("bare", "not known")]
)
def test_the_first_sentence_is_the_verdict(case: str, strong: str) -> None:
    first = words.leads(cases.CASES[case]())[0]
    assert (strong, True) in first
    assert cases.CASES[case]().reason in "".join(text for text, _ in first) or case == "moving"


def test_the_second_sentence_tells_a_common_shift_and_the_displacement_with_z() -> None:
    base = cases.rest()
    lags = tuple(replace(lag, z={"discrete": 0.4 * i}) for i, lag in enumerate(base.lags[:9]))
    shift = Compared(Estimate(1.13, 1.05, 1.21, 0.95, "statistical", 20), 1.0, 3.04)
    found = replace(base, lags=lags, temperature_shift=shift, multiplicative=1.11, displacement_p=0.012,
                    displacement_tested=tuple(lag.lag for lag in lags[::2]))  # fmt: skip
    said = "".join(text for text, _ in words.leads(found)[1])
    assert "together 1.13 times it (z +3.0), where noise that grows with distance" in said
    assert "the law leaves out, makes 1.11; displacement at 3 of 5 lags an octave apart" in said
    assert f"furthest at lag {lags[8].lag} (z +3.2)" in said
    cold = replace(shift, z=-3.0)
    assert "grows" not in "".join(text for text, _ in words.leads(replace(found, temperature_shift=cold))[1])
    alone = replace(found, modes=(), identities={}, temperature_shift=None)
    only = "".join(text for text, _ in words.leads(alone)[1])
    assert only.startswith("Displacement is within 2 standard errors of the discrete law at 3 of 5 lags")
    orbit = replace(alone, law="same-order", temperature_shift=shift, multiplicative=None)
    only = "".join(text for text, _ in words.leads(orbit)[1])
    assert only == "Temperatures are together 1.13 times the same-order law (z +3.0)."
    assert ("displacement", "least p = 0.012 at 5 lags an octave apart after Holm's correction") in words.recipe(found)
    assert words.lag_rows(lags)[8]["discrete_z"] == "+3.2"


def test_the_second_sentence_counts_what_holds() -> None:
    said = "".join(text for text, _ in words.leads(cases.rest())[1])
    assert said == (
        "Temperature is within 2 standard errors of the discrete law in 8 of 8 modes (joint p = 0.62); "
        "identities V, X and L hold, F (z +6.3) does not."
    )
    moving = "".join(text for text, _ in words.leads(cases.moving())[1])
    assert "of the discrete law, a law of rest, in 0 of 2 modes (joint p < 0.001)" in moving
    few = replace(cases.rest(), modes=(*cases.rest().modes[:6], cases.mode(0.1, 2.1), cases.mode(0.1, -2.9)))
    assert "in 6 of 8 modes" in "".join(text for text, _ in words.leads(few)[1])
    assert "in 1 of 1 mode (" in "".join(text for text, _ in words.leads(cases.single())[1])
    assert len(words.leads(cases.short())) == 1
    unpredicted = "".join(text for text, _ in words.leads(cases.unpredicted())[1])
    assert unpredicted.startswith("Identities V, X and L hold")


@pytest.mark.parametrize(
    ("z", "said"),
    [(1.99, "agrees"), (-1.99, "agrees"), (2.5, "above the law, may be chance"), (-2.5, "below the law, may be chance"),
     (3.0, "disagrees: above the law"), (-9.0, "disagrees: below the law")],
)  # fmt: skip
def test_outcomes_follow_z(z: float, said: str) -> None:
    assert words.outcome(Compared(Estimate(1.0), 1.0, z)) == said


def test_a_refused_comparison_says_why() -> None:
    assert words.outcome(Compared(Estimate(1.0), None, None, "batches depend")) == "batches depend"
    assert words.outcome(Compared(Estimate(1.0), None, None)) == "no prediction"


def test_the_error_that_z_is_counted_in_stands_beside_the_outcome() -> None:
    assert "below the law, may be chance; standard error 0.00012" in render_page(cases.rest())
    assert "standard error 0.00012" not in render_page(cases.reshuffled())  # refused: there is no z


def test_answers_lose_their_prefix_only_where_refused() -> None:
    refused = cases.answers(1)[-1]
    assert words.answer_card(refused)["answer"] == "No noise"
    assert words.answer_card(replace(refused, refused=False))["answer"] == "Not answered: no noise"
    assert words.answer_card(cases.answers()[3])["answer"] == "Value 3 within −0.5 and 4×10⁻⁵"


def test_captions_count_the_intervals_that_hold_the_law() -> None:
    found = cases.rest()
    inside = sum(
        lag.measured.low <= lag.predicted["discrete"] <= lag.measured.high
        for lag in found.lags
        if lag.measured.low is not None and lag.measured.high is not None
    )
    tested = sum(lag.measured.two_sided for lag in found.lags)
    assert f"it lies inside {inside} of {tested} intervals" in captions.displacement_caption(found)
    assert "No law is drawn: gradient noise was not measured." in captions.displacement_caption(cases.unpredicted())
    assert "None of the laws drawn is that of" in captions.displacement_caption(replace(found, law="same-order"))


def test_the_verb_writes_the_page_and_the_document(tmp_path: Path) -> None:
    found = cases.rest()
    write_page(found, tmp_path / "page.html")
    write_page(found, tmp_path / "page.json")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == render_page(found)
    assert json.loads((tmp_path / "page.json").read_text())["schema"] == "limen.dynamics/1"
    with pytest.raises(BadInput):
        write_page(found, tmp_path / "page.txt")


def interval(text: str, found: Estimate) -> bool:
    """Whether a text shows both ends of an interval, where there are both."""
    ends = re.search(r"\((.*) to (.*?)\)", text)
    if not found.two_sided:
        return ends is None
    return ends is not None and says(ends[1], found.low) and says(ends[2], found.high)


@pytest.mark.parametrize("name", ["rest", "reshuffled", "moving", "unpredicted", "single", "extreme"])
def test_every_number_of_the_tables_is_that_of_the_record(name: str) -> None:
    found = cases.CASES[name]()
    page = seen(render_page(found))
    moved, slopes = page.table("Displacement").rows, page.table("Local exponent").rows
    assert len(moved) == len(slopes) == len(found.lags)
    for lag, row, slope in zip(found.lags, moved, slopes, strict=True):
        assert row["lag"] == slope["lag"] == f"{lag.lag:,}"
        assert says(row["E‖Δθ‖², parameter²"], lag.measured.value)
        assert interval(row["E‖Δθ‖², parameter²"], lag.measured)
        assert says(slope["exponent, measured"], lag.exponent.value)
        assert interval(slope["exponent, measured"], lag.exponent)
        for law in set(lag.predicted) & set(row):
            assert says(row[law], lag.predicted[law], digits=3)
            assert says(slope[law], lag.predicted_exponent[law])
    modes = page.table("Temperature").rows
    assert len(modes) == len(found.modes)
    for mode, row in zip(found.modes, modes, strict=True):
        check_mode(mode, row)
    identities = page.table("Exact for a quadratic loss").rows
    assert len(identities) == len(found.identities)
    for compared, row in zip(found.identities.values(), identities, strict=True):
        check_compared(compared, row, "measured")
    for orbit, row in zip(found.orbits, page.table("Turn an update").rows, strict=True):
        assert says(row["curvature"], orbit.curvature, digits=3)
        if orbit.measured_turn.value is not None:
            assert says(row["turn, measured"], orbit.measured_turn.value)
        for moment, title in zip(orbit.ellipse or (None,) * 3, ("Var x", "Cov(x, v)", "Var v"), strict=True):
            assert says(row[title], moment, digits=3)


def check_mode(mode: ModeVerdict, row: dict[str, str]) -> None:
    assert says(row["curvature, loss/parameter²"], mode.curvature, digits=3)
    assert row["batches"] == str(mode.batches)
    assert says(row["relaxes in, updates"], mode.relaxation_steps)
    assert says(row["noise, loss²/parameter²"], mode.noise, digits=3)
    check_compared(mode.temperature, row, "temperature, loss")
    if mode.virial.value is not None:
        assert says(row["virial"], mode.virial.value)


def check_compared(compared: Compared, row: dict[str, str], title: str) -> None:
    if compared.measured.value is None:
        assert row[title].startswith("not identified")
    else:
        assert says(row[title], compared.measured.value)
        assert interval(row[title], compared.measured)
    assert says(row["law"], compared.predicted)
    assert says(row["z"], compared.z)


def test_the_reader_of_numbers_sees_a_wrong_one() -> None:
    assert says("0.00448 (0.004 to 0.005)", 0.004476)
    assert not says("0.00449", 0.004476)
    assert not says("−0.0045", 0.0045)
    assert not says("4.48×10⁻⁷", 4.48e-6)
    assert not says("–", 1.0)
    assert says("0.0", 0.004)
    assert not says("0.0", 0.004, digits=3)
    assert Table("", ["a"], [["1"]]).rows == [{"a": "1"}]


@pytest.mark.parametrize("name", list(cases.CASES))
def test_one_thing_is_not_several_and_zero_has_no_sign(name: str) -> None:
    text = re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", " ", render_page(cases.CASES[name]()), flags=re.DOTALL)
    assert not re.search(r"(?<![\d.,×])1 (modes|updates|intervals|steps|runs|pairs)\b", text)
    assert not re.search(r"[-−+]0(\.0+)?(?![\d.,×])", text)
    assert not re.search(r"\bnan\b|\binf\b|None(?! of the laws)", text)
