"""What a plugin must be: `Family`, `Link`, `LatentDistribution` and the small types they use.

The engine sees a family as a function of *channels*: numbers ``nu_0 .. nu_{K-1}`` of one response unit,
each a linear predictor or a fixed value. A family of a mean and a link has the channels ``mu`` and one
for each auxiliary parameter. A family may have more linear predictors than channels (an ordinal response
with C categories has C - 1 thresholds, but one unit meets at most two): `Family.channels` says which
predictor feeds which channel.
"""

from glamm.protocols.families import Family, MeanFamily
from glamm.protocols.latents import LatentDistribution, LatentRatio
from glamm.protocols.scales import Link
from glamm.protocols.sets import SetFamily
from glamm.protocols.values import (
    TRANSFORMS,
    Array,
    Column,
    Encoded,
    Interval,
    Parameter,
    Predictor,
    ResponseError,
    Transform,
)

__all__ = [
    "TRANSFORMS",
    "Array",
    "Column",
    "Encoded",
    "Family",
    "Interval",
    "LatentDistribution",
    "LatentRatio",
    "Link",
    "MeanFamily",
    "Parameter",
    "Predictor",
    "ResponseError",
    "SetFamily",
    "Transform",
]
