"""What `limen init` writes: a commented study file that runs on bundled data as it stands, and its JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path

from limen.records.errors import BadInput, Problem
from limen.study.spec import json_schema

SCHEMA_NAME = "limen-study.schema.json"

STARTER = """\
#:schema ./limen-study.schema.json
# A study: every encoder is adapted to every task of the same input, at every number of labels.
# limen check study.toml   says what is wrong and what it will cost;   limen run study.toml   runs what is missing.

name = "first-study"
seed = 0
confidence = 0.95

# --- Encoders: fixed maps from inputs to features -----------------------------------------------------------

[encoder.pixels]
source = "pixels"                      # the image as it is: what any encoder should beat

[encoder.random]
source = "random-features"             # a control that knows nothing of the task
input = "image"
dimension = 256

# An encoder of your own: a local folder, or a hub id with a pinned revision (Limen never fetches anything).
# [encoder.minilm]
# source = "sentence-transformers"     # or "transformers" with pooling = "mean" | "cls" | "last" and layer = -1
# path = "models/all-MiniLM-L6-v2"

# Features that you already have: X of an .npz, or a column of vectors.
# [encoder.mine]
# source = "embeddings"
# column = "X"

# An encoder that the study trains itself; every checkpoint is an encoder (needs: pip install '.[torch]').
# [encoder.scratch]
# source = "pretrain"
# data = "digits:train"
# heldout = 0.2                        # share that is never trained on: gives the pretraining loss its interval
# objective = "nt-xent"                # with temperature = 0.5, projection = 64; or one of
#                                      #   "contrastive"   pairs = "views" | "label", negatives, block, radius
#                                      #   "spectral"      pairs, projection
#                                      #   "masked"        share = 0.5          "autoencoder"   noise = 0.5
#                                      #   "supervised"    label = "label", loss = "log" | "squared"
# augmentation = { crop = 0.6, noise = 0.1 }         # of images also flip, brightness, contrast, saturation, grayscale
# architecture = { name = "conv", width = 16 }       # or vit, resnet18, mlp, linear
# steps = 200
# batch_size = 64
# optimizer = { name = "sgd", learning_rate = 0.1, momentum = 0.9, weight_decay = 1e-4 }
# checkpoints = 6                      # that many log-spaced, or a list of steps
# record = "dynamics"                  # limen dynamics study.toml::scratch says whether training is stationary

# The same of text, with a vocabulary of its own (needs: pip install '.[hf]').
# [encoder.words]
# source = "pretrain"
# input = "text"
# data = "texts.parquet"
# column = "text"
# on_bad = "skip"                      # leave out empty texts (broken files, too), instead of "stop"
# objective = "next-token"             # or any of the above; augmentation = { crop, drop, mask }
# tokens = { vocabulary = 4096, length = 64 }
# architecture = { name = "transformer", width = 128, depth = 4, heads = 4 }
# steps = 1000

# And of sound: a column with the bytes of wav files.
# [encoder.voices]
# source = "pretrain"
# input = "audio"
# data = "clips.parquet"
# objective = "supervised"             # or any of the above but next-token
# label = "speaker"                    # augmentation = { shift, gain, noise, bands, frames }
# sound = { rate = 8000, seconds = 1.0, bands = 40 }
# architecture = { name = "sound", width = 32, stages = 3 }
# steps = 1000

# --- Tasks: labelled rows -----------------------------------------------------------------------------------

[task.digits]
train = "digits:train"                 # .parquet, .csv or .npz beside this file or under --data; digits is bundled
test = "digits:test"
input = "image"
label = "label"
same_population = true                 # test rows are draws from the population of the train rows
# group = "writer"                     # rows of one group stay together in every split
# slices = ["writer"]                  # columns whose values are reported one by one
# encoders = ["pixels"]                # only these; without it all that take this input

# [task.digits.shift]                  # further populations: scored, never trained on
# noisy = "digits-noisy.parquet"

# --- Adaptation ---------------------------------------------------------------------------------------------

[adapt]
methods = ["linear-probe", "mean-classifier"]      # and "lda", "knn"
labels = [64, 128, 256, 512, "all"]    # totals; at most 75 % of the train rows, "all" stands for that many
seeds = 3
loss = "log"                           # or "squared"

[adapt.linear-probe]
radius = "auto"                        # or a number, or a list (one budget each)

# --- Advice -------------------------------------------------------------------------------------------------

[advice]
target = { error = 0.05 }              # or { loss = 0.2 }
margin = 0.01                          # smallest improvement of the loss worth acting on
"""


def schema_text() -> str:
    """The JSON Schema of a study file, as a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def write_starter(folder: Path | str = ".", name: str = "study.toml") -> tuple[Path, Path]:
    """Write the study file and its schema into `folder` and return their paths. Nothing is overwritten.

    Raises BadInput where a study file of that name stands already, or the folder cannot be written.
    """
    study, schema = Path(folder) / name, Path(folder) / SCHEMA_NAME
    if study.exists():
        raise BadInput(Problem(str(study), "this file exists already; nothing was written", fix="name another folder"))
    try:
        study.parent.mkdir(parents=True, exist_ok=True)
        with study.open("x", encoding="utf-8") as file:
            file.write(STARTER)
        schema.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise BadInput(Problem(str(study), f"it cannot be written: {error.strerror}")) from None
    return study, schema
