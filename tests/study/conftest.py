"""A study of timm and open_clip encoders runs where both are installed: in the environment of `make vision`."""

from importlib.util import find_spec

collect_ignore = ["test_vision_run.py"] if any(find_spec(name) is None for name in ("timm", "open_clip")) else []
