"""Do the intervals cover the truth, and are they narrow enough to be of use? One file a study, docs/validation.md."""
