"""timm and open_clip need torchvision, which the ordinary environment must not hold: `.ci/vision` runs their tests."""

from importlib.util import find_spec

collect_ignore = [
    file
    for library, file in (("timm", "test_timm_models.py"), ("open_clip", "test_open_clip_models.py"))
    if find_spec(library) is None
]
