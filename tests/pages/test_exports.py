"""CSV, JSON, Markdown and terminal carry the same records, and no name becomes a formula, a tag or markup."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import page_cases as cases
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from page_cases import est
from rich.console import Console

from limen.pages import sentences
from limen.pages.document import render_json
from limen.pages.markdown import render_markdown
from limen.pages.markdown import safe as markdown_safe
from limen.pages.page import render_html
from limen.pages.svg import printable
from limen.pages.table import render_csv, safe
from limen.pages.terminal import render_comparison, render_terminal
from limen.records.budget import Budget, Slice


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_one_row_a_term_with_plain_floats() -> None:
    budget = cases.budget()
    found = rows(render_csv(cases.one()))
    assert budget.closed_forms is not None
    beside = len(budget.closed_forms.scores) + len(budget.closed_forms.curve)
    assert len(found) == len(budget.terms) + 3 + sum(len(p) for p in budget.shift.values()) + beside
    for name, term in budget.terms.items():
        row = next(r for r in found if r["term"] == name and not r["population"])
        assert float(row["value"]) == term.value
        assert (row["low"] == "") == (term.low is None)


def test_csv_leaves_unknown_numbers_empty_and_says_why() -> None:
    report = cases.study()
    row = next(r for r in rows(render_csv(report)) if r["adapter"] == "lora" and r["term"] == "minimal_adaptation_loss")
    assert (row["value"], row["low"], float(row["high"])) == ("", "", 0.249)
    assert row["state"] == "not_identified"
    assert "no lower side" in row["reason"]


def test_csv_cells_are_never_formulas() -> None:
    for row in rows(render_csv(cases.hostile())):
        for cell in row.values():
            if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                float(cell)


@given(st.text())
def test_safe_changes_only_formula_starts(text: str) -> None:
    kept = safe(text)
    shown = printable(text)
    assert kept in (shown, "'" + shown)
    assert kept == shown or text[0] in "=+-@\t\r"


@pytest.mark.parametrize("name", list(cases.CASES))
def test_json_gives_the_budgets_back(name: str) -> None:
    report = cases.CASES[name]()
    plain = json.loads(render_json(report), parse_constant=lambda x: pytest.fail(f"{x} in JSON"))
    assert plain["schema"] == "limen.report/1"
    assert tuple(Budget.from_json(b) for b in plain["budgets"]) == report.budgets
    assert [c["reason"] for c in plain["cells"]] == [c.reason for c in report.cells]
    assert len(plain["interfaces"]) == len(report.interfaces)


@given(st.text())
def test_markdown_cell_is_one_line_without_open_markup(text: str) -> None:
    kept = markdown_safe(text)
    assert "\n" not in kept
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>`]", kept)


def test_markdown_says_lead_terms_and_recipe() -> None:
    text = render_markdown(cases.study())
    for part in (
        "# banking77",
        "**0.267 nats**",
        "0.150 to 0.192",
        "not separable",
        "out of memory",
        "limen run study.toml",
    ):
        assert part in text, part
    assert "<script>" not in re.sub(r"`[^`]*`", "", render_markdown(cases.hostile()))


def test_markdown_keeps_the_spaces_and_the_bold_of_a_sentence() -> None:
    lead = (
        "The linear probe on minilm loses **0.267 nats** and errs on **7.2 %** of banking77. It could reach about "
        "**0.171** (0.150 to 0.192); most of the rest is estimation: too few labels."
    )
    text = render_markdown(cases.one())
    assert lead in text.splitlines()
    shown = MarkdownIt().render(lead)
    assert shown.count("<strong>") == 3
    assert re.sub("<[^>]*>", "", shown).strip() == sentences.plain(sentences.lead(cases.budget()))
    for report in (cases.study(), cases.hostile()):
        for line in (line for line in render_markdown(report).splitlines() if line.startswith(("The ", "Best of"))):
            assert "**" not in re.sub("<[^>]*>", "", MarkdownIt().render(line))


def test_one_notation_for_powers_of_ten() -> None:
    for text in (
        render_html(cases.one()).split('<h2 id="recipe"')[0],
        render_markdown(cases.one()),
        printed(cases.budget()),
    ):
        assert "4×10⁻⁵" in text
        assert not re.search(r"\de-\d", text)


def test_slices_and_controls_are_printed() -> None:
    base = cases.budget()
    part = Slice(40, est(0.4, 0.1), est(0.31, 0.05, "certified"))
    cut = replace(base, slices={"speaker": {"anna": part, "ben": replace(part, error=est(0.02, 0.01))}})
    text = printed(cut)
    assert re.search(r"speaker = anna +40 +0\.40", text)
    assert text.index("speaker = anna") < text.index("speaker = ben")
    assert "Worst speaker: anna" in text
    assert "speaker" not in printed(base)
    control = {"adaptation_loss": est(1.0, 0.1), "error": est(0.9, 0.02, "certified")}
    assert "class shares alone" in printed(replace(base, controls={"prior": control}))
    assert "class shares alone" not in printed(base)
    assert max(len(line) for line in printed(replace(cut, controls={"prior": control})).splitlines()) <= 80


def test_markdown_tables_have_equal_columns() -> None:
    for block in render_markdown(cases.hostile()).split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1


def printed(budget: Budget, width: int = 80, colour: bool = False) -> str:
    stream = io.StringIO()
    render_terminal(
        budget, Console(file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None)
    )
    return stream.getvalue()


@pytest.mark.parametrize("budget", [cases.budget(), cases.one_sided(), cases.unidentified(), cases.negative()])
def test_terminal_fits_80_columns_and_is_plain_without_a_tty(budget: Budget) -> None:
    text = printed(budget)
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "loss on held-out rows" in text
    assert "…" not in text


def test_terminal_uses_colour_only_on_a_tty_and_says_the_same() -> None:
    plain, coloured = printed(cases.budget()), printed(cases.budget(), colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_terminal_says_what_is_missing() -> None:
    text = printed(cases.unidentified())
    assert "1 diverged" in text
    assert "interval only" in text
    assert "about 20,000 rows would" in " ".join(text.split())


def test_terminal_reads_no_markup_from_names() -> None:
    from dataclasses import replace

    text = printed(replace(cases.budget(), encoder="[bold red]x[/]", task="[link=http://a]t"))
    assert "[bold red]x[/]" in text
    assert "[link=http://a]t" in text


def test_terminal_ranks_compared_budgets_in_80_columns() -> None:
    stream = io.StringIO()
    render_comparison(cases.study(), Console(file=stream, width=80))
    text = stream.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.index("minilm") < text.index("bag-of-words") < text.index("random-features")
    flat = " ".join(text.split())
    assert "floors not separable at 10,000 rows in the file; about 18,000 rows in the file would tell" in flat
    assert "minilm · linear-probe has the lower floor" in flat
    assert "at most 0.249 ■" in flat


def test_names_that_are_no_unicode_can_be_written() -> None:
    from dataclasses import replace

    report = replace(
        cases.one(), name="a\udc80\x00b", budgets=(replace(cases.budget(), encoder="\udcff", task="\ud800"),)
    )
    for text in (render_html(report), render_markdown(report), render_csv(report), render_json(report)):
        text.encode("utf-8")
