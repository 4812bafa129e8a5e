"""The environment names what is installed and what runs, imports nothing to do so, and names no machine."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
import sys

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

from limen.arrays.environment import environment, versions


def test_versions_are_those_of_the_imported_packages() -> None:
    assert versions()["numpy"] == np.__version__
    assert versions()["scipy"] == scipy.__version__
    assert versions()["python"] == platform.python_version()


def test_threads_follow_the_limit_of_the_pool() -> None:
    with threadpool_limits(1, user_api="blas"):
        assert environment()["threads"] == 1


def test_it_is_plain_and_names_no_host() -> None:
    text = json.dumps(environment(), allow_nan=False)
    assert socket.gethostname() not in json.loads(text)["blas"]
    assert set(json.loads(text)) == {"threads", "blas", "versions"}


def test_naming_torch_does_not_import_it() -> None:
    code = (
        "import sys; from limen.arrays.environment import environment; environment(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
