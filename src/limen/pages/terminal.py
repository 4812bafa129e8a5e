"""A budget in a terminal: header, sentence, advice, terms, sides, curve; 80 columns suffice, plain without a TTY."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from limen.pages import closed_forms, sentences, summary, wording
from limen.pages.closed_forms import PREDICTORS
from limen.records.budget import Budget, CurvePoint
from limen.records.comparison import Comparison
from limen.records.estimate import Estimate
from limen.records.report import Report

STYLES = {"floor": "blue", "estimation": "yellow", "optimization": "green", "shift": "magenta", "": ""}


def render_terminal(budget: Budget, console: Console) -> None:
    """Print a budget. Names from files are never read as markup."""
    for part in (
        _header(budget),
        _said(sentences.lead(budget)),
        *_advice(budget),
        *_terms(budget),
        *_slices(budget),
        *_controls(budget),
        *_curve(budget),
        *_predicted(budget),
        *_scores(budget),
        *_checks(budget),
    ):
        console.print(part, markup=False, highlight=False)


def render_comparison(report: Report, console: Console) -> None:
    """Print several budgets of the same rows side by side, the best first, and what their comparisons say."""
    for (task, loss), members in sentences.groups(report).items():
        console.print(Text(f"{wording.flat(task)} · {wording.LOSSES[loss]}", style="bold"))
        said = sentences.lead(members[0], len(members)) + sentences.rivals(members[0], report.comparisons)
        for part in (_said(said), _ranking(members)):
            console.print(part, markup=False, highlight=False)
    for duel in report.comparisons:
        console.print(_duel(duel), markup=False, highlight=False)
    for part in _ranked(report):
        console.print(part, markup=False, highlight=False)


def _ranked(report: Report) -> list[RenderableType]:
    """Scores of every encoder beside its measured loss, and how far their orders agree."""
    rows = closed_forms.score_rows([budget for members in sentences.groups(report).values() for budget in members])
    if not rows:
        return []
    columns = {"encoder": "encoder", "measured loss": "loss", **dict(closed_forms.score_columns(rows))}
    parts: list[RenderableType] = [Text(""), _table(columns, rows), Text(closed_forms.GUESS, style="dim")]
    orders = closed_forms.ranking_rows(report.rankings)
    if orders:
        shown = {"order by": "score", "Kendall's tau": "tau", "best by it": "by_score", "best measured": "by_loss"}
        said = Text(closed_forms.rankings_sentence(report.rankings), style="dim")
        parts += [Text(""), _table(shown, orders), said]
    why = " ".join(closed_forms.missing_scores(report.budgets))
    return [*parts, Text(why, style="dim")] if why else parts


def _ranking(members: list[Budget]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("encoder", overflow="fold")
    for title, style in (("loss", ""), ("floor", STYLES["floor"]), ("estimation", STYLES["estimation"]), ("error", "")):
        table.add_column(title, style=style, overflow="fold")
    for budget in members:
        name = Text(f"{wording.flat(budget.encoder)}\n{wording.method(budget.method)}")
        shown = ("adaptation_loss", "minimal_adaptation_loss", "estimation_gap", "error")
        table.add_row(name, *(_stacked(budget.terms.get(term), term) for term in shown))
    return Padding(table, (0, 0, 1, 0))


def _stacked(estimate: Estimate | None, term: str) -> Text:
    """Value and mark above the interval; without a value the interval alone, or what is missing in words."""
    if estimate is None:
        return Text("–")
    inside = wording.interval(estimate, term)
    if estimate.value is None:
        return Text(f"{inside or wording.missing(estimate)} {estimate.mark}")
    said = Text(f"{wording.value(estimate, term)} {estimate.mark}")
    return said.append(f"\n{inside}", style="dim") if inside else said


def _duel(duel: Comparison) -> RenderableType:
    row = summary.comparison_row(duel)
    said = Text(f"{row['a']} against {row['b']}: ")
    said.append(row["verdict"], style="bold")
    said.append(f". Error {row['error']}, loss {row['loss']}, floor {row['floor']}, p {row['p']}.")
    return said


def _header(budget: Budget) -> RenderableType:
    head = Text(f"{wording.flat(budget.task)} · {wording.who(budget)}", style="bold")
    return Text("\n").join([head, Text(sentences.subtitle(budget), style="dim")])


def _said(phrases: list[sentences.Phrase]) -> RenderableType:
    said = Text()
    for text, strong in phrases:
        said.append(text, style="bold" if strong else "")
    return Padding(said, (1, 0))


def _advice(budget: Budget) -> list[RenderableType]:
    found: list[RenderableType] = []
    for advice in budget.advice:
        card = summary.advice_card(budget, advice, named=False)
        said = Text(f"{card['tag'].split()[0]} ")
        said.append(card["head"], style="bold")
        said.append(f". {card['body']}" if card["body"] else "")
        said.append(f" {card['gain']}" if card["gain"] else "", style="bold")
        found.append(Padding(said, (0, 0, 0, 0)))
    return [*found, Text("")] if found else []


def _terms(budget: Budget) -> list[RenderableType]:
    """Terms and sides; what cannot be said in a narrow column is a numbered note, said once below."""
    notes: dict[str, int] = {}
    parts: list[RenderableType] = [_grid(summary.term_rows(budget), notes)]
    sides = summary.side_rows(budget)
    if sides:
        parts += [Text("how low the floor can be, weakest assumptions first", style="dim"), _grid(sides, notes)]
    above = [text for text, _ in sentences.lead(budget)] + [wording.prose(advice.action) for advice in budget.advice]
    for note, number in notes.items():
        parts.append(Text(f"{_raised(number)} {'see above' if note in ' '.join(above) else note}", style="dim"))
    for row in summary.shift_rows(budget):
        said = Text(f"on {row['population']}: ")
        said.append(f"loss {row['loss']}, error {row['error']}, shift {row['gap']}", style=STYLES["shift"])
        parts.append(said)
    return [*parts, Text("")] if notes or budget.shift else parts


def _slices(budget: Budget) -> list[RenderableType]:
    """Every value of every slice column, the largest error first, and which of them is surely worse than the whole."""
    rows = summary.slice_rows(budget)
    if not rows:
        return []
    columns = {"slice": "slice", "rows": "n", "loss": "loss", "error": "error"}
    said = [Text(text, style="dim") for text in sentences.worst_slices(budget)]
    return [_table(columns, rows), *said, Text("")]


def _controls(budget: Budget) -> list[RenderableType]:
    """What the same rows give to baselines that know nothing of the input."""
    rows = summary.control_rows(budget)
    if not rows:
        return []
    return [Padding(_table({"without information": "baseline", "loss": "loss", "error": "error"}, rows), (0, 0, 1, 0))]


def _table(columns: dict[str, str], rows: list[dict[str, str]]) -> Table:
    """Named columns of rows of strings; the first is a name and folds, numbers are aligned at the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for number, title in enumerate(columns):
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[key]) for key in columns.values()))
    return table


def _grid(rows: list[dict[str, str]], notes: dict[str, int]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(max_width=34, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        name = Text(row["name"].split(":")[0], style=STYLES.get(row["hue"], ""))
        grade = Text(row["grade"])
        if row["note"]:
            grade.append(" " * bool(row["grade"]) + _marks(row["note"], notes), style="dim")
        table.add_row(name, Text(row["value"], style="bold"), Text(row["interval"]), grade)
    return Padding(table, (0, 0, 1, 0))


def _marks(note: str, notes: dict[str, int]) -> str:
    """The mark of a note; one that begins with a known note has that note's mark and one for the rest."""
    known = next((said for said in notes if note.startswith(f"{said}; ")), "")
    rest = note.removeprefix(f"{known}; ") if known else note
    mark = _raised(notes.setdefault(rest, len(notes) + 1))
    return f"{_raised(notes[known])} {mark}" if known else mark


def _raised(number: int) -> str:
    """A number as a mark of a note.

    >>> _raised(12)
    '¹²'
    """
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _curve(budget: Budget) -> list[RenderableType]:
    """Middle subset of every label count, with a bar in proportion to the largest loss."""
    if not budget.curve:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("labels", "subsets", "training", "held out", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    ns = sorted({point.n for point in budget.curve})
    losses = [p.adaptation_loss for p in budget.curve if p.adaptation_loss is not None]
    for n in ns:
        table.add_row(*_curve_row(n, [p for p in budget.curve if p.n == n], max(losses, default=0.0)))
    caption = Text(sentences.curve_caption(budget), style="dim")
    return [table, Padding(caption, (0, 0, 1, 0))]


def _predicted(budget: Budget) -> list[RenderableType]:
    """Squared loss at every label count, measured and predicted."""
    rows = closed_forms.predicted_rows(budget)
    if not rows:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("labels", "measured", *(f"{title}  " for title in PREDICTORS.values())):
        table.add_column(title, justify="right", overflow="fold")
    for row in rows:
        shown = (row[name] if row[name][-1] in "↑↓" else f"{row[name]}  " for name in PREDICTORS)
        table.add_row(row["n"], row["measured"], *shown)
    said = Text(f"{closed_forms.SIDES}. {closed_forms.predicted_sentence(budget)}", style="dim")
    return [Text(closed_forms.PREDICTED, style="dim"), table, Padding(said, (0, 0, 1, 0))]


def _scores(budget: Budget) -> list[RenderableType]:
    """Scores of the encoder, never without the measured loss."""
    said = closed_forms.scores_sentence(budget)
    if not said:
        return []
    why = " ".join(closed_forms.missing_scores([budget]))
    return [Padding(Text(said).append(f" {why}".rstrip(), style="dim"), (0, 0, 1, 0))]


def _curve_row(n: int, points: list[CurvePoint], most: float) -> list[Text]:
    known = sorted((p for p in points if p.adaptation_loss is not None), key=lambda p: p.adaptation_loss or 0.0)
    broken = len(points) - len(known)
    subsets = f"{len(points)}" + (f" ({broken} diverged)" if broken else "")
    if not known:
        return [Text(f"{n:,}"), Text(subsets), Text("diverged"), Text("diverged"), Text("–"), Text("×")]
    middle = known[(len(known) - 1) // 2]
    loss, training = middle.adaptation_loss or 0.0, middle.empirical_loss
    cells = [f"{n:,}", subsets, "–" if training is None else wording.decimal(training, 3), wording.decimal(loss, 3)]
    bar = Text(_bar(loss / most if most > 0 else 0.0), style=STYLES["estimation"])
    return [*(Text(cell) for cell in cells), Text(f"{wording.decimal(100 * middle.error, 1)} %"), bar]


def _bar(share: float, width: int = 16) -> str:
    """A horizontal bar in eighths of a character.

    >>> _bar(0.5, 4), _bar(0.0, 4)
    ('██', '')
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + ("" if eighths % 8 == 0 else "▏▎▍▌▋▊▉"[eighths % 8 - 1])


def _checks(budget: Budget) -> list[RenderableType]:
    rows = [row for row in summary.check_rows(budget) if not row["outcome"].startswith("✓")]
    return [
        Text(f"{row['outcome']}: {row['finding']}", style="red" if "rejected" in row["outcome"] else "") for row in rows
    ]
