"""Limen: where the downstream error of a foundation model comes from, how sure that is, and what would lower it.

Every verb of the command line is a function here, with the same name and result; names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

NAMES: dict[str, str] = {
    "Budget": "limen.records.budget",
    "Comparison": "limen.records.comparison",
    "Curvature": "limen.records.curvature",
    "Dynamics": "limen.records.dynamics",
    "Estimate": "limen.records.estimate",
    "GradientNoise": "limen.records.gradient_noise",
    "LearningCurve": "limen.records.learning_curve",
    "LimenError": "limen.records.errors",
    "LinearProbe": "limen.adapt.linear_probe",
    "Report": "limen.records.report",
    "attach": "limen.measure.dynamics.attach",
    "budget": "limen.verbs.budget",
    "check": "limen.verbs.check",
    "compare": "limen.verbs.compare",
    "curvature": "limen.measure.curvature.spectrum",
    "demo": "limen.verbs.demo",
    "doctor": "limen.verbs.doctor",
    "dynamics": "limen.verbs.dynamics",
    "explain": "limen.verbs.inspect",
    "gc": "limen.verbs.inspect",
    "gradient_noise": "limen.measure.noise.gradient_noise",
    "init": "limen.verbs.init",
    "learning_curve": "limen.verbs.learning_curve",
    "leave_one_out": "limen.adapt.leave_one_out",
    "predict": "limen.verbs.predict",
    "probe_path": "limen.adapt.probe_path",
    "record": "limen.measure.recorder.recorder",
    "read_run": "limen.measure.recorder.read",
    "report": "limen.verbs.report",
    "run": "limen.verbs.run",
    "secant_curvature": "limen.measure.curvature.secant",
    "status": "limen.verbs.inspect",
    "verify": "limen.verbs.inspect",
}
"""Public name → module that defines it."""

__all__ = [*NAMES, "__version__"]
__version__ = version("limen")


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module 'limen' has no attribute {name!r}")
    return getattr(import_module(NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
