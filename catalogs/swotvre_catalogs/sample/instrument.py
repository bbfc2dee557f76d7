"""What KaRIn adds to the sea: noise, roll, phase, timing and baseline errors, and what the crossovers know of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.sample.swath import POSTING_M, Swath

Floats = npt.NDArray[np.floating]

#: Root mean square of the noise of a 2 km pixel between 10 and 60 km from nadir, at a wave height of 2 m.
NOISE_M = 0.012


@dataclass(frozen=True)
class InstrumentErrors:
    """Errors of the height in metres; every field has the shape of the swath."""

    #: Random part, pixel by pixel, and its standard deviation.
    noise: Floats
    noise_deviation: Floats
    #: Roll, phase, timing and baseline together: long along the track, simple across.
    systematic: Floats
    #: The correction from crossovers: nearly minus the systematic error.
    crossover_correction: Floats


def _slow_series(rng: np.random.Generator, along_track: Floats, deviation: float) -> Floats:
    """Return a series along the track that varies over 700 to 15000 km, of a given standard deviation."""
    count = 12
    wavelengths = np.exp(rng.uniform(np.log(7e5), np.log(1.5e7), count))
    weights = np.sqrt(wavelengths) * rng.uniform(0.5, 1.5, count)
    weights *= deviation / np.sqrt(np.sum(weights**2) / 2)
    phases = rng.uniform(0, 2 * np.pi, count)
    return np.cos(2 * np.pi * along_track[:, None] / wavelengths + phases) @ weights


def noise_deviation(distance: Floats, swh: Floats, posting_m: float = POSTING_M) -> Floats:
    """Return the standard deviation of the noise (m): least in the middle of each half swath, more with waves.

    A smaller pixel averages fewer looks: the noise goes with one over the posting.
    """
    shape = 0.8 + 1.0 * ((np.abs(distance) - 35e3) / 25e3) ** 2
    return NOISE_M / 1.18 * shape * np.sqrt(0.6 + 0.1 * swh**2) * (POSTING_M / posting_m)


def look_through_instrument(
    swath: Swath,
    swh: Floats,
    pass_rng: np.random.Generator,
    pixel_rng: np.random.Generator,
    posting_m: float = POSTING_M,
) -> InstrumentErrors:
    """Return the errors of one pass: the slow ones by ``pass_rng``, the noise of the pixels by ``pixel_rng``."""
    share = swath.cross_track / 60e3
    left, right = (swath.cross_track < 0), (swath.cross_track >= 0)
    systematic = np.zeros(swath.shape)
    residual = np.zeros(swath.shape)
    along = swath.along_track
    # (shape across the swath, deviation at its far edge, what the crossovers leave of it)
    for across, deviation, left_over in (
        (share, 0.060, 0.006),  # roll
        (np.where(left, np.abs(share), 0.0), 0.045, 0.005),  # phase of the left side
        (np.where(right, np.abs(share), 0.0), 0.045, 0.005),  # phase of the right side
        (np.where(left, 1.0, 0.0), 0.009, 0.003),  # timing of the left side
        (np.where(right, 1.0, 0.0), 0.009, 0.003),  # timing of the right side
        (share**2, 0.006, 0.002),  # baseline dilation
    ):
        systematic += _slow_series(pass_rng, along, deviation)[:, None] * across
        residual += _slow_series(pass_rng, along, left_over)[:, None] * across
    deviation_map = noise_deviation(swath.distance, swh, posting_m)
    return InstrumentErrors(
        noise=pixel_rng.standard_normal(swath.shape) * deviation_map,
        noise_deviation=deviation_map,
        systematic=systematic,
        crossover_correction=residual - systematic,
    )
