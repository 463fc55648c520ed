"""What kind of demand a series has, from its history alone: what metrics are split or scaled by."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Cut-offs of Syntetos, Boylan and Croston (2005), "On the categorization of demand patterns".
_INTERVAL = 1.32
_VARIATION = 0.49


def demand_class(units: Floats, length: npt.NDArray[np.int64]) -> npt.NDArray[np.str_]:
    """Smooth, erratic, intermittent or lumpy, by mean interval between sales and variation of their sizes.

    Args:
        units: [series, context] pieces, padded with zeros at the left.
        length: [series] how many of the context periods are real.

    Returns:
        [series] names; a series without sales is intermittent.
    """
    sold = units > 0
    sales = sold.sum(axis=1)
    count = np.maximum(sales, 1)
    interval = np.where(sales > 0, length / count, np.inf)
    mean = np.where(sold, units, 0).sum(axis=1) / count
    variance = np.where(sold, (units - mean[:, None]) ** 2, 0).sum(axis=1) / count
    variation = variance / np.maximum(mean, 1e-12) ** 2
    often, steady = interval < _INTERVAL, variation < _VARIATION
    names = np.select([often & steady, often, ~often & steady], ["smooth", "erratic", "intermittent"], default="lumpy")
    return names.astype(np.str_)


def naive_square(units: Floats, length: npt.NDArray[np.int64]) -> Floats:
    """Mean squared error of the one-step naive forecast over each history: what RMSSE divides by.

    Hyndman and Koehler (2006); from the first sale on, as in the M5 competition.

    Args:
        units: [series, context] pieces, padded with zeros at the left.
        length: [series] how many of the context periods are real.

    Returns:
        [series] squared pieces; NaN for a history of one period.
    """
    context = units.shape[1]
    real = np.arange(1, context)[None, :] > context - np.clip(length, 0, context)[:, None]
    squares = np.where(real, np.diff(units, axis=1) ** 2, 0.0).sum(axis=1)
    steps = real.sum(axis=1)
    return np.asarray(np.where(steps > 0, squares / np.maximum(steps, 1), np.nan))
