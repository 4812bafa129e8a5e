"""A budget in a terminal: header, sentence, advice, terms, sides, curve; 40 columns suffice, plain without a TTY."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from limen.pages import closed_forms, sentences, summary, wording
from limen.pages.closed_forms import PREDICTORS
from limen.pages.terminal_tables import STYLES, Fitting, bar, grid, numbers, plain_table, raised, table
from limen.records.budget import Budget, CurvePoint
from limen.records.comparison import Comparison
from limen.records.estimate import Estimate
from limen.records.report import Report


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
        *_computed_with(budget),
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
    for part in (*_ranked(report), *(_computed_with(report.budgets[0]) if report.budgets else ())):
        console.print(part, markup=False, highlight=False)


def _ranked(report: Report) -> list[RenderableType]:
    """Scores of every encoder beside its measured loss, and how far their orders agree."""
    rows = closed_forms.score_rows([budget for members in sentences.groups(report).values() for budget in members])
    if not rows:
        return []
    columns = {"encoder": "encoder", "measured loss": "loss", **dict(closed_forms.score_columns(rows))}
    parts: list[RenderableType] = [Text(""), table(columns, rows), Text(closed_forms.GUESS, style="dim")]
    orders = closed_forms.ranking_rows(report.rankings)
    if orders:
        shown = {"order by": "score", "Kendall's tau": "tau", "best by it": "by_score", "best measured": "by_loss"}
        said = Text(closed_forms.rankings_sentence(report.rankings), style="dim")
        parts += [Text(""), table(shown, orders), said]
    why = " ".join(closed_forms.missing_scores(report.budgets))
    return [*parts, Text(why, style="dim")] if why else parts


def _ranking(members: list[Budget]) -> RenderableType:
    terms = ("adaptation_loss", "minimal_adaptation_loss", "estimation_gap", "error")
    shown = dict(zip(("loss", "floor", "estimation", "error"), terms, strict=True))
    wide, lines = plain_table(), []
    wide.add_column("encoder", overflow="fold")
    for title in shown:
        wide.add_column(title, style=STYLES.get(title, ""), overflow="fold")
    for budget in members:
        name = Text(f"{wording.flat(budget.encoder)}\n{wording.method(budget.method)}")
        cells = [_stacked(budget.terms.get(term), term) for term in shown.values()]
        wide.add_row(name, *cells)
        lines.append(Text(wording.who(budget), style="bold"))
        for title, cell in zip(shown, cells, strict=True):
            lines.append(Text(f"  {title} {' '.join(cell.plain.split())}", style=STYLES.get(title, "")))
    return Padding(Fitting(wide, Text("\n").join(lines)), (0, 0, 1, 0))


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
    parts: list[RenderableType] = [grid(summary.term_rows(budget), notes)]
    sides = summary.side_rows(budget)
    if sides:
        parts += [Text("how low the floor can be, weakest assumptions first", style="dim"), grid(sides, notes)]
    above = [text for text, _ in sentences.lead(budget)] + [wording.prose(advice.action) for advice in budget.advice]
    for note, number in notes.items():
        parts.append(Text(f"{raised(number)} {'see above' if note in ' '.join(above) else note}", style="dim"))
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
    return [table(columns, rows), *said, Text("")]


def _controls(budget: Budget) -> list[RenderableType]:
    """What the same rows give to baselines that know nothing of the input."""
    rows = summary.control_rows(budget)
    if not rows:
        return []
    return [Padding(table({"without information": "baseline", "loss": "loss", "error": "error"}, rows), (0, 0, 1, 0))]


def _curve(budget: Budget) -> list[RenderableType]:
    """Middle subset of every label count, with a bar in proportion to the largest loss."""
    if not budget.curve:
        return []
    ns = sorted({point.n for point in budget.curve})
    losses = [p.adaptation_loss for p in budget.curve if p.adaptation_loss is not None]
    rows = [_curve_row(n, [p for p in budget.curve if p.n == n], max(losses, default=0.0)) for n in ns]
    wide, narrow = plain_table(), plain_table()
    for name in ("labels", "subsets", "training", "held out", "error", ""):
        wide.add_column(name, justify="right" if name else "left", no_wrap=True)
        if name not in ("subsets", ""):
            narrow.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        wide.add_row(*row)
        narrow.add_row(row[0], *row[2:5])
    caption = Text(sentences.curve_caption(budget), style="dim")
    return [Fitting(wide, narrow), Padding(caption, (0, 0, 1, 0))]


def _predicted(budget: Budget) -> list[RenderableType]:
    """Squared loss at every label count, measured and predicted."""
    rows = closed_forms.predicted_rows(budget)
    if not rows:
        return []
    for row in rows:  # predictions line up whether or not an arrow follows them
        row.update({name: row[name] if row[name][-1] in "↑↓" else f"{row[name]}  " for name in PREDICTORS})
    padded = {f"{title}  ": name for name, title in PREDICTORS.items()}
    few = dict(list(padded.items())[:2])
    shown = numbers(
        {"labels": "n", "measured": "measured", **padded}, {"labels": "n", "measured": "value", **few}, rows
    )
    said = Text(f"{closed_forms.SIDES}. {closed_forms.predicted_sentence(budget)}", style="dim")
    return [Text(closed_forms.PREDICTED, style="dim"), shown, Padding(said, (0, 0, 1, 0))]


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
    drawn = Text(bar(loss / most if most > 0 else 0.0), style=STYLES["estimation"])
    return [*(Text(cell) for cell in cells), Text(f"{wording.decimal(100 * middle.error, 1)} %"), drawn]


def _computed_with(budget: Budget) -> list[RenderableType]:
    said = wording.computed_with(budget.environment)
    return [Text(said, style="dim")] if said else []


def _checks(budget: Budget) -> list[RenderableType]:
    rows = [row for row in summary.check_rows(budget) if not row["outcome"].startswith("✓")]
    return [
        Text(f"{row['outcome']}: {row['finding']}", style="red" if "rejected" in row["outcome"] else "") for row in rows
    ]
