"""The command line: parse, call one function of `limen.verbs`, print. Nothing is computed here.

One file above 400 lines: a line an option, so that every word a person can type is found in one place.

Exit codes: 0 done, 1 some cells failed, 2 bad input, 3 store or disk, 130 interrupted. With --json, stdout holds one
JSON document and everything else goes to stderr. Verbs are imported when they run, so `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from limen.verbs import speak

app = typer.Typer(
    name="limen",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Where the downstream error of a foundation model comes from, how sure that is, and what would lower it.",
    epilog="Start with `limen demo`, or with your own embeddings: `limen budget embeddings.npz`.",
)

prediction = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Theory: what a problem implies, without data."
)
app.add_typer(prediction, name="predict")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr; answers stay.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write a .html, .md, .csv or .json report.")]
Target = Annotated[str | None, typer.Option(help="loss=0.3 or error=0.05: advice for reaching it.")]
Margin = Annotated[float, typer.Option(help="Smallest improvement of the loss worth acting on.")]
Confidence = Annotated[float, typer.Option(help="Joint confidence of each budget.")]
Label = Annotated[str | None, typer.Option(help="Column (default: y or label) or .npy file of the labels.")]
Study = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file (TOML).")]
Data = Annotated[Path | None, typer.Option(help="Folder that the study's paths start from.")]
Store = Annotated[Path | None, typer.Option(help="Store (default: STUDY-STEM.limen beside the study).")]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes.")]


def main() -> None:
    """Entry point of `limen` and `python -m limen`."""
    sys.exit(_exit_code())


def _exit_code() -> int:
    from limen.records.errors import LimenError

    as_json = "--json" in sys.argv
    speak.begin()
    try:
        code = app(standalone_mode=False, prog_name="limen")  # typer returns the code of `raise typer.Exit(code)`
    except LimenError as error:
        return speak.failure(error, as_json, _options())
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if hasattr(error, "format_message"):  # an error of the parser: unknown verb or option, missing argument
            return speak.misuse(error, as_json)
        raise
    if code == 130:
        speak.interrupted(as_json)
    return code if isinstance(code, int) else 0


def _options() -> dict[str, str]:
    """Argument of a verb → its option, as the commands below declare them."""
    found: dict[str, str] = {}
    verbs = list(typer.main.get_command(app).commands.values())  # type: ignore[attr-defined]
    verbs += [inner for verb in verbs for inner in getattr(verb, "commands", {}).values()]
    for verb in verbs:
        for parameter in verb.params:
            option = max(parameter.opts, key=len)
            if option.startswith("--"):
                found |= dict.fromkeys((parameter.name, option[2:].replace("-", "_")), option)
    return found


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to put it.")] = Path("limen-demo"),
    workers: Workers = 2,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The whole chain on bundled digits, offline."""
    from limen.verbs.demo import demo as run_demo

    result, page = run_demo(folder, workers=workers, quiet=quiet)
    if as_json:
        speak.document(result.to_json() | {"schema": "limen.demo/1", "page": str(page)})
    else:
        print(f"{result.line()}\n{page}")
    raise typer.Exit(result.exit_code)


@app.command()
def budget(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help=".npz with X and y, .parquet, .csv, or .npy with --label y.npy.")
    ],
    test: Annotated[Path | None, typer.Option(help="Another file to score, never to train on.")] = None,
    same_population: Annotated[bool, typer.Option("--same-population", help="--test is the holdout.")] = False,
    target: Target = None,
    margin: Margin = 0.01,
    method: Annotated[str, typer.Option(help="linear-probe, mean-classifier, lda or knn.")] = "linear-probe",
    loss: Annotated[str, typer.Option(help="log or squared.")] = "log",
    labels: Annotated[str | None, typer.Option(help="Label counts of the curve, such as 100,1000,all.")] = None,
    seeds: Annotated[int, typer.Option(help="Random subsets at each label count.")] = 5,
    radius: Annotated[str, typer.Option(help="Largest ‖W‖ of the probe: auto or a number.")] = "auto",
    confidence: Confidence = 0.95,
    label: Label = None,
    group: Annotated[str | None, typer.Option(help="Column of groups that stay together.")] = None,
    slices: Annotated[list[str] | None, typer.Option("--slice", help="Column to split the loss by.")] = None,
    rich_head: Annotated[bool, typer.Option("--rich-head/--no-rich-head", help="Would a richer adapter help?")] = True,
    output: Output = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Error budget of your own embeddings."""
    from limen.records.report import Report
    from limen.verbs import ask
    from limen.verbs.budget import budget as measure

    speak.checked(output, (file, test))
    ask.one_of("--method", method, ("linear-probe", "mean-classifier", "lda", "knn"))
    ask.one_of("--loss", loss, ("log", "squared"))
    ask.question_of(target, margin, confidence)
    asked: dict[str, Any] = {"method": method, "loss": loss, "labels": ask.counts_of(labels), "seeds": seeds}
    asked |= {"radius": ask.radius_of(radius), "target": target, "margin": margin, "confidence": confidence}
    asked |= {"slices": tuple(slices or ()), "rich_head": rich_head}
    with speak.working(f"measuring {file} …", quiet):
        found = measure(file, test=test, same_population=same_population, group=group, label=label, **asked)
    speak.written(speak.with_recipe(Report(found.task, (found,))), output, quiet)
    if as_json:
        speak.document(found.to_json())
    else:
        _show_budget(found)


@app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="A B …", help="Embeddings of the same rows, one per encoder.")],
    test: Annotated[list[Path] | None, typer.Option(help="A test file per encoder, in the same order.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column to align rows by (default: order).")] = None,
    target: Target = None,
    margin: Margin = 0.01,
    confidence: Confidence = 0.95,
    label: Label = None,
    output: Output = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Several encoders on the same rows, pair by pair."""
    from limen.verbs.ask import question_of
    from limen.verbs.compare import compare as measure

    speak.checked(output, (*files, *(test or [])))
    question_of(target, margin, confidence)
    with speak.working(f"comparing {len(files)} files …", quiet):
        report = measure(
            files, test=test, id=id_column, label=label, target=target, margin=margin, confidence=confidence
        )
    report = speak.with_recipe(report)
    speak.written(report, output, quiet)
    if as_json:
        budgets = [b.to_json() for b in report.budgets]
        pairs = [c.to_json() for c in report.comparisons]
        orders = [r.to_json() for r in report.rankings]
        speak.document({"schema": "limen.compare/1", "budgets": budgets, "comparisons": pairs, "rankings": orders})
        return
    _show_comparison(report)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write.")] = Path("."),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented study file and its JSON Schema."""
    from limen.verbs.init import init as write

    study, schema = write(folder)
    if as_json:
        speak.document({"schema": "limen.init/1", "study": str(study), "json_schema": str(schema)})
    else:
        print(f"wrote {study} and {schema}\nnext: limen check {study}")


@app.command()
def check(study: Study, data: Data = None, workers: Workers = 1, as_json: Json = False, quiet: Quiet = False) -> None:
    """Every error of a study, and a forecast of its cost."""
    from limen.verbs.check import check as inspect

    found = inspect(study, data, workers)
    if as_json:
        speak.document(found.to_json())
    for problem in found.errors:
        print(problem, file=sys.stderr)
    if not (as_json or found.errors):
        print(found.text())
    raise typer.Exit(2 if found.errors else 0)


@app.command()
def run(
    study: Study,
    workers: Workers = 1,
    executor: Annotated[str, typer.Option(help="Where cells run: local.")] = "local",
    data: Data = None,
    store: Store = None,
    yes: Annotated[bool, typer.Option("--yes", help="Run a very large study without asking.")] = False,
    output: Output = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Do what is missing of a study; resumes what was cut."""
    from limen.verbs.run import run as execute

    speak.checked(output)
    result = execute(study, workers=workers, executor=executor, data=data, store=store, yes=yes, quiet=quiet)
    speak.written(result.report, output, quiet)
    if as_json:
        speak.document(result.to_json())
    if not (as_json and quiet):
        print(result.line(), file=sys.stderr if as_json else sys.stdout)
    if result.failed and not quiet:
        print(f"limen status {study} says what failed and why", file=sys.stderr)
    raise typer.Exit(result.exit_code)


@app.command()
def report(
    study: Study,
    output: Output = None,
    store: Store = None,
    data: Data = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """One offline page of what is published; runs nothing."""
    from limen.verbs.report import render
    from limen.verbs.report import report as gather

    output = output or (None if as_json else study.with_suffix(".html"))
    speak.checked(output)
    found = gather(study, store=store, data=data)
    speak.written(found, output, quiet)
    if as_json:
        print(render(found, ".json"), end="")


@app.command()
def status(study: Study, store: Store = None, data: Data = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """What is published, failed and waiting."""
    from limen.verbs.inspect import status as inspect

    found = inspect(study, store=store, data=data)
    if as_json:
        speak.document(found.to_json())
    else:
        print(found.text())


@app.command()
def explain(
    study: Study,
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Label or head of the key of a cell.")],
    store: Store = None,
    data: Data = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Why a cell is published, failed, stale or new."""
    from dataclasses import asdict

    from limen.verbs.inspect import explain as inspect

    found = inspect(study, cell, store=store, data=data)
    if as_json:
        speak.document({"schema": "limen.explain/1", **asdict(found)})
    else:
        print(found)


@app.command()
def verify(study: Study, store: Store = None, data: Data = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """Re-hash data and results, recompute fits and budgets."""
    from limen.verbs.inspect import verify as inspect

    with speak.working(f"verifying {study} …", quiet):
        found = inspect(study, store=store, data=data)
    if as_json:
        speak.document(found.to_json())
    else:
        print(found.text())
    for problem in found.problems:
        print(problem, file=sys.stderr)
    raise typer.Exit(3 if found.problems else 0)


@app.command()
def doctor(
    store: Annotated[Path | None, typer.Option(help="Also examine this store.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Machine, libraries, threads, and a store."""
    from limen.verbs.doctor import doctor as inspect

    found = inspect(store)
    if as_json:
        speak.document(found.to_json())
    else:
        print(found.text())
    for problem in found.problems:
        print(problem, file=sys.stderr)
    raise typer.Exit(3 if found.problems else 0)


@app.command()
def gc(
    study: Study,
    store: Store = None,
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it they are only counted.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Results that the study does not name: count, delete."""
    from limen.verbs.inspect import gc as collect

    found = collect(study, store=store, data=data, yes=yes)
    if as_json:
        speak.document(found.to_json())
    else:
        print(found.text())


_TABLE = "Or a .csv or .parquet with columns curvature and noise, and if there are offset and weight (modes a row)."
_START = (
    "stationary, or fixed: minimum + offset at rest. There --law langevin with --dampening begins too small: it "
    "dampens the first gradient too, as torch does not."
)


@prediction.command()
def sgd(
    learning_rate: Annotated[float, typer.Option(help="Step size of the optimizer.")],
    curvature: Annotated[str | None, typer.Option(help="Hessian eigenvalues, with commas.")] = None,
    noise: Annotated[str | None, typer.Option(help="Gradient variance of one example along each.")] = None,
    table: Annotated[Path | None, typer.Option(help=_TABLE)] = None,
    momentum: Annotated[float, typer.Option(help="As in torch.optim.SGD.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = 1,
    weight_decay: Annotated[float, typer.Option(help="As in torch.optim.SGD.")] = 0.0,
    decoupled: Annotated[bool, typer.Option("--decoupled", help="Decay outside of the gradient.")] = False,
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Nesterov momentum.")] = False,
    dampening: Annotated[float, typer.Option(help="As in torch.optim.SGD.")] = 0.0,
    examples: Annotated[int | None, typer.Option(help="Size of the data: batches are subsets of it.")] = None,
    law: Annotated[str, typer.Option(help="discrete (exact), langevin or epoch (reshuffled).")] = "discrete",
    steps_per_epoch: Annotated[int | None, typer.Option(help="Batches an epoch, for --law epoch.")] = None,
    white: Annotated[float | None, typer.Option(help="Share of noise drawn afresh, for --law epoch.")] = None,
    steps: Annotated[str, typer.Option(help="Numbers of steps, with commas.")] = "1,10,100,1000,10000",
    start: Annotated[str, typer.Option(help=_START)] = "stationary",
    offset: Annotated[str | None, typer.Option(help="Distance of a fixed start, one or one a mode.")] = None,
    allow_unstable: Annotated[
        bool, typer.Option("--allow-unstable", help="Go on beyond the edge of stability.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Limiting dynamics of SGD on a quadratic loss."""
    from limen.verbs import ask
    from limen.verbs.predict import predict

    settings: dict[str, Any] = {"momentum": momentum, "batch_size": batch_size, "weight_decay": weight_decay}
    settings |= {"decoupled": decoupled, "nesterov": nesterov, "dampening": dampening, "examples": examples}
    lists = ask.lists_of({"--curvature": curvature, "--noise": noise, "--offset": offset, "--steps": steps})
    if offset is not None:
        settings["offset"] = lists["--offset"]
    settings |= {"start": start, "steps_per_epoch": steps_per_epoch, "white": white, "allow_unstable": allow_unstable}
    settings |= {"learning_rate": learning_rate, "law": law, "steps": lists["--steps"], "table": table}
    found = predict("sgd", lists["--curvature"], lists["--noise"], **settings)
    if as_json:
        speak.document(found.to_json())
    elif not quiet:
        from limen.pages.sgd_prediction import render_prediction

        render_prediction(found, _console())


@app.command()
def dynamics(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a recording, or STUDY::ENCODER.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a .html page or a .json.")] = None,
    store: Store = None,
    data: Data = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """A recorded training run beside what theory predicts."""
    from limen.verbs.dynamics import check_page, write_page
    from limen.verbs.dynamics import dynamics as judge

    if output is not None:
        check_page(output)
    with speak.working(f"reading {run} …", quiet):
        found = judge(run, store=store, data=data)
    if output is not None:
        write_page(found, output)
        if not quiet:
            print(f"wrote {output}", file=sys.stderr)
    if as_json:
        speak.document(found.to_json())
    elif not quiet:
        from limen.pages.dynamics_terminal import render_dynamics

        render_dynamics(found, _console())


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Where the downstream error of a foundation model comes from, how sure that is, and what would lower it."""
    if version:
        from importlib.metadata import version as installed

        print(f"limen {installed('limen')}")
        raise typer.Exit


def _console() -> Any:
    from rich.console import Console

    return Console()


def _show_budget(found: Any) -> None:
    from limen.pages.terminal import render_terminal

    render_terminal(found, _console())


def _show_comparison(report: Any) -> None:
    from limen.pages.terminal import render_comparison

    render_comparison(report, _console())
