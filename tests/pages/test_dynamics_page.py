"""The page of a run says every number it got, says what it refuses and why, and lets no text become markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import dynamics_cases as cases
import pytest

from limen.pages import dynamics_words as words
from limen.pages.dynamics_page import render_page
from limen.records.dynamics import Compared
from limen.records.errors import BadInput
from limen.records.estimate import Estimate
from limen.verbs.dynamics import write_page

ORDER = ("moves", "portraits", "heat", "identities", "answers", "segments", "recipe")


class Seen(HTMLParser):
    """Tags, ids, references, texts of table cells, and whatever could run or ask the network."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("aria-labelledby", "aria-describedby"):
                self.references += (value or "").split()
            if name.startswith("on") or name in ("src", "srcset", "action", "formaction"):
                self.active.append(f"{name}={value}")
            if name in ("href", "xlink:href") and not (value or "").startswith("#"):
                self.active.append(f"{name}={value}")


def seen(page: str) -> Seen:
    parser = Seen()
    parser.feed(page)
    return parser


@pytest.mark.parametrize("name", list(cases.CASES))
def test_page_is_self_contained_and_its_references_resolve(name: str) -> None:
    page = render_page(cases.CASES[name]())
    parser = seen(page)
    assert parser.active == []
    assert parser.tags.count("script") == 1
    assert not {"link", "img", "iframe", "object", "embed", "form", "base"} & set(parser.tags)
    assert len(set(parser.ids)) == len(parser.ids)
    assert set(parser.references) <= set(parser.ids)
    assert page.count("<svg") == page.count("</svg>")
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    page.encode("utf-8")


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
    import base64
    import hashlib

    page = render_page(cases.rest())
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert f"script-src &#39;sha256-{digest}&#39;" in policy[1]
    assert "default-src &#39;none&#39;" in policy[1]


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


def test_the_second_sentence_counts_what_holds() -> None:
    said = "".join(text for text, _ in words.leads(cases.rest())[1])
    assert said == (
        "Temperature is within 3 standard errors of the discrete law in 8 of 8 modes; "
        "identities V, X and L hold, F (z +6.3) does not."
    )
    moving = "".join(text for text, _ in words.leads(cases.moving())[1])
    assert "in 0 of 2 modes" in moving
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
    assert f"it lies inside {inside} of {tested} intervals" in words.displacement_caption(found)
    assert "No law is drawn: gradient noise was not measured." in words.displacement_caption(cases.unpredicted())
    assert "None of the laws drawn is that of" in words.displacement_caption(replace(found, law="same-order"))


def test_the_verb_writes_the_page_and_the_document(tmp_path: Path) -> None:
    found = cases.rest()
    write_page(found, tmp_path / "page.html")
    write_page(found, tmp_path / "page.json")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == render_page(found)
    assert json.loads((tmp_path / "page.json").read_text())["schema"] == "limen.dynamics/1"
    with pytest.raises(BadInput):
        write_page(found, tmp_path / "page.txt")
