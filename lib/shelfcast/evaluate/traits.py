"""What kind of demand a series has, from its history alone: segments that metrics are split by."""

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
