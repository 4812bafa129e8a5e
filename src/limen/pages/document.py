"""The JSON document of a report, schema `limen.report/1`: plain floats, nothing formatted, nothing left out.

NaN and infinity never appear: records refuse them, and the encoder would too.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from limen.records.report import Checkpoint, Interface, Recorded, Report

SCHEMA = "limen.report/1"


def report_document(report: Report) -> dict[str, Any]:
    """The document as plain data.

    >>> report_document(Report("empty", ()))["schema"]
    'limen.report/1'
    """
    return {
        "schema": SCHEMA,
        "name": report.name,
        "budgets": [budget.to_json() for budget in report.budgets],
        "comparisons": [comparison.to_json() for comparison in report.comparisons],
        "rankings": [ranking.to_json() for ranking in report.rankings],
        "interfaces": [_interface(run) for run in report.interfaces],
        "recorded": [_recorded(run) for run in report.recorded],
        "cells": [asdict(cell) for cell in report.cells],
        "recipe": dict(report.recipe),
    }


def render_json(report: Report) -> str:
    """The document as ASCII text, two spaces deep, one newline at the end. Raises ValueError for NaN in the recipe."""
    return json.dumps(report_document(report), indent=2, allow_nan=False, default=str) + "\n"


def _interface(run: Interface) -> dict[str, Any]:
    return {
        "run": run.run,
        "objective": run.objective,
        "loss_name": run.loss_name,
        "checkpoints": [_checkpoint(point) for point in run.checkpoints],
        "kendall_tau": {task: estimate.to_json() for task, estimate in run.kendall_tau.items()},
        "slope": {task: estimate.to_json() for task, estimate in run.slope.items()},
    }


def _recorded(run: Recorded) -> dict[str, Any]:
    found = {"state": "not_identified", "reason": run.reason} if run.dynamics is None else run.dynamics.to_json()
    return {"encoder": run.encoder, "dynamics": found}


def _checkpoint(point: Checkpoint) -> dict[str, Any]:
    return {
        "encoder": point.encoder,
        "step": point.step,
        "empirical_pretraining_loss": point.empirical_pretraining_loss.to_json(),
        "pretraining_loss": point.pretraining_loss.to_json(),
        "pretraining_gap": point.pretraining_gap.to_json(),
        **(
            {"pretraining_optimization_gap": point.pretraining_optimization_gap.to_json()}
            if point.pretraining_optimization_gap is not None
            else {}
        ),
        "floors": {task: estimate.to_json() for task, estimate in point.floors.items()},
        "adaptation_losses": {task: estimate.to_json() for task, estimate in point.adaptation_losses.items()},
        "errors": {task: estimate.to_json() for task, estimate in point.errors.items()},
    }
