"""What a run says of itself: how far it is, and a time left that its own pace bears out."""

from __future__ import annotations

import time

from limen.pretrain.telling import Telling
from limen.records.observer import Step


def test_it_speaks_now_and_then_and_knows_its_pace(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    said = []
    teller = Telling(said.append, every=10.0)
    teller.begin(None, None, 1000)
    for done in range(201, 241):  # taken up after 200 updates, one a second
        clock[0] += 1.0
        teller.step(Step(done, 1000, 1.25, 0.1, 0.0))
    teller.end()
    assert said[0] == "update 210 of 1,000, loss 1.25, 13 min left"
    assert len(said) == 4
    assert said[-1].startswith("update 240 of 1,000")
