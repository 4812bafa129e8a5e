"""Sounds as logarithmic mel spectra, by the front end of `transformers.audio_utils`.

    wav  →  mono at `rate`  →  cut or filled up with silence to `seconds`  →  |STFT|², Hann windows of 25 ms every 10 ms
         →  `bands` triangles on the mel scale (HTK: 2595·lg(1 + f/700)) up to rate/2  →  ln max(power, 10⁻⁶)

Silence is ln 10⁻⁶ = −13.8 in every band. Frames are centred: frame j is around sample j·hop.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from limen.data.audio import decode_audio
from limen.data.extras import require
from limen.models.encoder import InputKind
from limen.records.errors import BadInput, Problem

WINDOW, HOP = 0.025, 0.010
"""Seconds of a window, and between two of them."""
FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Spectra:
    """The front end."""

    rate: int = 8000
    seconds: float = 1.0
    bands: int = 40
    takes: InputKind = "audio"

    def array(self, inputs: Any) -> NDArray[np.generic]:
        """Spectra [n, bands, frames], float32, of the bytes of wav files. Raises BadInput with rows."""
        library = require("transformers.audio_utils", "hf", "encoders of sound")
        width, hop = round(WINDOW * self.rate), round(HOP * self.rate)
        size = 1 << (width - 1).bit_length()
        window = library.window_function(width, "hann")
        mel = self._filters(library, size // 2 + 1)
        spectra = [
            library.spectrogram(
                self.fitted(clip), window, frame_length=width, hop_length=hop, fft_length=size, power=2.0,
                mel_filters=mel, mel_floor=FLOOR, log_mel="log",
            )
            for clip in decode_audio(list(inputs), self.rate)
        ]  # fmt: skip
        return np.stack(spectra).astype(np.float32)

    def fitted(self, clip: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first `seconds` of a clip, silence after its end."""
        samples = round(self.seconds * self.rate)
        return np.pad(clip[:samples], (0, max(0, samples - len(clip))))

    def _filters(self, library: Any, bins: int) -> NDArray[np.float64]:
        """Weights [bins, bands] of the triangles. Raises BadInput where the options leave a band without any bin."""
        problems = []
        if self.seconds < WINDOW:
            what = f"expected at least the {WINDOW} s of a window, got {self.seconds:g}"
            problems.append(Problem("preprocessing.seconds", what))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of what is a problem here
            filters: NDArray[np.float64] = library.mel_filter_bank(
                num_frequency_bins=bins, num_mel_filters=self.bands, min_frequency=0.0,
                max_frequency=self.rate / 2, sampling_rate=self.rate, norm=None, mel_scale="htk",
            )  # fmt: skip
        empty = int((filters.max(axis=0) == 0).sum())
        if empty:
            what = f"expected bands with a frequency of the spectrum in each, got {empty} of {self.bands} without any"
            fix = f"fewer than {self.bands} bands, or more than {self.rate} samples a second"
            problems.append(Problem("preprocessing.bands", what, f"{bins} frequencies up to {self.rate / 2:g} Hz", fix))
        if problems:
            raise BadInput(problems)
        return filters

    def facts(self, array: NDArray[np.generic]) -> dict[str, int]:
        """Bands and frames."""
        return {"bands": int(array.shape[1]), "frames": int(array.shape[2])}

    def plain(self) -> dict[str, Any]:
        """Rate, seconds, bands."""
        return {"takes": "audio", "rate": self.rate, "seconds": self.seconds, "bands": self.bands}

    @classmethod
    def restore(cls, plain: Mapping[str, Any]) -> Self:
        """From plain data."""
        return cls(int(plain["rate"]), float(plain["seconds"]), int(plain["bands"]))
