"""One budget of real embeddings on the clock: `limen budget` on banking77 (MiniLM, 77 classes, 10,003 rows).

Run with the folder that holds banking77/minilm-train.npz and minilm-test.npz:

    python benchmarks/budget_banking77.py DATA

Prints a Markdown table with the figures and the targets they are held to; exits 1 where one is missed. The peer is
scikit-learn's logistic regression on all 10,003 rows with its C chosen on the test set (an optimistic opponent).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

TARGET_SECONDS = 20.0
TARGET_ERROR = 0.080
PEER_ERROR = 0.069


def main(data: Path) -> int:
    files = [str(data / "banking77" / f"minilm-{part}.npz") for part in ("train", "test")]
    command = [sys.executable, "-m", "limen", "budget", files[0], "--test", files[1], "--json", "--quiet"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    budget = json.loads(done.stdout)
    terms = budget["terms"]
    error = terms["shift"]["test"]["error"]
    rows = [
        ("seconds on the clock", f"{seconds:.1f}", f"≤ {TARGET_SECONDS:g}", seconds <= TARGET_SECONDS),
        ("error on the test file", f"{error['value']:.4f}", f"≤ {TARGET_ERROR}", error["value"] <= TARGET_ERROR),
        ("… scikit-learn, all rows, C chosen on test", f"{PEER_ERROR}", "", True),
        ("identity residual", f"{budget['identity_residual']:.1e}", "≤ 1e-9", budget["identity_residual"] <= 1e-9),
        ("optimization gap", f"{terms['optimization_gap']['value']:.1e}", "", True),
    ]
    print("| banking77, MiniLM | measured | target | met |\n|---|---|---|---|")
    for name, value, target, met in rows:
        print(f"| {name} | {value} | {target} | {'yes' if met else 'NO'} |" if target else f"| {name} | {value} | | |")
    return 0 if all(met for *_, met in rows) else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
