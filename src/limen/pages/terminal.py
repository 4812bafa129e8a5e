"""A budget in a terminal: header, sentence, advice, terms, sides, curve; 80 columns suffice, plain without a TTY."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from limen.pages import sentences, summary, wording
from limen.records.budget import Budget, CurvePoint

STYLES = {"floor": "blue", "estimation": "yellow", "optimization": "green", "shift": "magenta", "": ""}


def render_terminal(budget: Budget, console: Console) -> None:
    """Print a budget. Names from files are never read as markup."""
    for part in (_header(budget), _lead(budget), *_advice(budget), *_terms(budget), *_curve(budget), *_checks(budget)):
        console.print(part, markup=False, highlight=False)


def _header(budget: Budget) -> RenderableType:
    head = Text(f"{wording.flat(budget.task)} · {wording.who(budget)}", style="bold")
    return Text("\n").join([head, Text(sentences.subtitle(budget), style="dim")])


def _lead(budget: Budget) -> RenderableType:
    said = Text()
    for text, strong in sentences.lead(budget):
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
    parts: list[RenderableType] = [_grid(summary.term_rows(budget))]
    sides = summary.side_rows(budget)
    if sides:
        parts += [Text("how low the floor can be, weakest assumptions first", style="dim"), _grid(sides)]
    for row in summary.shift_rows(budget):
        said = Text(f"on {row['population']}: ")
        said.append(f"loss {row['loss']}, error {row['error']}, shift {row['gap']}", style=STYLES["shift"])
        parts.append(said)
    return [*parts, Text("")] if budget.shift else parts


def _grid(rows: list[dict[str, str]]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(max_width=34, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        name = Text(row["name"].split(":")[0], style=STYLES.get(row["hue"], ""))
        grade = Text(row["grade"])
        if row["note"]:
            grade.append(f"\n{row['note']}", style="dim")
        table.add_row(name, Text(row["value"], style="bold"), Text(row["interval"]), grade)
    return Padding(table, (0, 0, 1, 0))


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
