"""Random but repeatable smooth fields: sums of plane waves over the Earth that travel with time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

_METRES_PER_DEGREE = 111195.0
#: Middle of the region, so that longitudes become metres the same way for every pass.
_LATITUDE_0 = -35.0


@dataclass(frozen=True)
class Waves:
    """A field of zero mean and given standard deviation, defined at every place and time."""

    wavenumber_x: Floats
    wavenumber_y: Floats
    #: Radians per second.
    frequency: Floats
    phase: Floats
    amplitude: Floats

    def at(self, longitude: Floats, latitude: Floats, seconds: Floats | float) -> Floats:
        """Return the field at places (degrees) and times (seconds since the start of the mission), same shape."""
        x = (longitude * (_METRES_PER_DEGREE * np.cos(np.radians(_LATITUDE_0)))).astype(np.float32)
        y = (latitude * _METRES_PER_DEGREE).astype(np.float32)
        # The time moves each wave as a whole: one number for the middle of the pass is exact to a millimetre.
        moment = float(np.mean(seconds))
        field = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.float32)
        phases = np.mod(self.phase - self.frequency * moment, 2 * np.pi)
        for kx, ky, phase, amplitude in zip(self.wavenumber_x, self.wavenumber_y, phases, self.amplitude, strict=True):
            field += np.float32(amplitude) * np.cos(np.float32(kx) * x + np.float32(ky) * y + np.float32(phase))
        return field.astype(np.float64)


def random_waves(
    seed: int,
    *,
    standard_deviation: float,
    wavelengths_km: tuple[float, float],
    slope: float,
    speed: float,
    count: int = 64,
) -> Waves:
    """Draw waves between two wavelengths whose power falls with the wavenumber as ``k ** -slope``.

    Args:
        seed: The same seed gives the same field.
        standard_deviation: Of the field, in its own unit.
        wavelengths_km: Shortest and longest wavelength.
        slope: 4 looks like balanced ocean flow, 2 like fronts, 0 like grain.
        speed: Phase speed in m/s; directions are random.
        count: Number of waves.
    """
    rng = np.random.default_rng(seed)
    shortest, longest = wavelengths_km
    wavenumber = 2 * np.pi / (1000 * np.exp(rng.uniform(np.log(shortest), np.log(longest), count)))
    direction = rng.uniform(0, 2 * np.pi, count)
    # Even in log k: the power of a wave is its spectral density times k.
    amplitude = np.sqrt(wavenumber ** (1 - slope)) * rng.uniform(0.6, 1.4, count)
    amplitude *= standard_deviation / np.sqrt(np.sum(amplitude**2) / 2)
    return Waves(
        wavenumber_x=wavenumber * np.cos(direction),
        wavenumber_y=wavenumber * np.sin(direction),
        frequency=wavenumber * speed,
        phase=rng.uniform(0, 2 * np.pi, count),
        amplitude=amplitude,
    )
