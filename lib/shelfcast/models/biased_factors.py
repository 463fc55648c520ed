"""Explicit ratings as biases and factors: r = μ + b_u + b_i + q_i · p_u (Koren, Bell & Volinsky 2009).

A small model of its own, for shops whose users rate what they bought.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SPREAD = 0.1  # of the initial factors
_DECAY = 0.95  # of the learning rate, an epoch


@dataclass(frozen=True)
class Ratings:
    """Ratings one after the other.

    Attributes:
        users, items: [ratings] int32, from 0.
        values: [ratings] float64.
    """

    users: NDArray[Any]
    items: NDArray[Any]
    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def part(self, chosen: NDArray[Any]) -> "Ratings":
        """Those that a mask or places choose."""
        return Ratings(self.users[chosen], self.items[chosen], self.values[chosen])


@dataclass(frozen=True)
class Options:
    """How the model is fitted.

    Attributes:
        factors: of a user and of an item; 0: biases alone.
        rate: of the first epoch.
        bias_shrinkage, factor_shrinkage: weight of the squares of biases and of factors, a rating.
        epochs: most of them.
        patience: epochs without a better validation that end the training.
    """

    factors: int = 32
    rate: float = 0.02
    bias_shrinkage: float = 0.02
    factor_shrinkage: float = 0.1
    epochs: int = 100
    patience: int = 3


@dataclass(frozen=True)
class BiasedFactors:
    """A fitted model.

    Attributes:
        mean: μ, of the ratings it was fitted on.
        lowest, highest: of these; predictions stay between them.
        user_bias, item_bias: [users], [items]; 0 for those without a rating, who get what the other side says.
        user_factors, item_factors: [users, factors], [items, factors].
    """

    mean: float
    lowest: float
    highest: float
    user_bias: NDArray[Any]
    item_bias: NDArray[Any]
    user_factors: NDArray[Any]
    item_factors: NDArray[Any]

    def predict(self, users: NDArray[Any], items: NDArray[Any]) -> NDArray[Any]:
        """[pairs] ratings."""
        factors = np.einsum("pf,pf->p", self.user_factors[users], self.item_factors[items])
        found = self.mean + self.user_bias[users] + self.item_bias[items] + factors
        return np.asarray(np.clip(found, self.lowest, self.highest))

    def rmse(self, held_out: Ratings) -> float:
        """Root mean squared error of ratings it was not fitted on."""
        return float(np.sqrt(np.mean((self.predict(held_out.users, held_out.items) - held_out.values) ** 2)))


def fit(
    training: Ratings, validation: Ratings, users: int, items: int, seed: int, options: Options | None = None
) -> BiasedFactors:
    """Stochastic gradient descent, one rating after the other in random order; the best epoch in validation is kept.

    Args:
        users, items: how many there are.

    Raises:
        ValueError: if there is no rating to learn from or to validate on.
    """
    if not len(training) or not len(validation):
        raise ValueError("ratings to learn from and ratings to validate on are needed")
    options = options or Options()
    rng = np.random.default_rng(seed)
    mean = float(training.values.mean())
    counts = [np.bincount(side, minlength=size) for side, size in ((training.users, users), (training.items, items))]
    state = [
        np.zeros(users), np.zeros(items),
        *((rng.normal(0, _SPREAD, (len(seen), options.factors)) * (seen > 0)[:, None]) for seen in counts),
    ]  # fmt: skip
    bounds = float(training.values.min()), float(training.values.max())
    best, lowest, waited, rate = BiasedFactors(mean, *bounds, *state), np.inf, 0, options.rate
    for _ in range(options.epochs):
        order = rng.permutation(len(training))
        shuffled = training.users[order], training.items[order], training.values[order] - mean
        steps = rate, options.bias_shrinkage, options.factor_shrinkage
        _epoch(shuffled, (state[0], state[1]), (state[2], state[3]), steps)
        rate *= _DECAY
        now = BiasedFactors(mean, *bounds, *(values.copy() for values in state))
        error = now.rmse(validation)
        best, lowest, waited = (now, error, 0) if error < lowest else (best, lowest, waited + 1)
        if waited >= options.patience:
            break
    return best


@njit(cache=True)
def _epoch(ratings: Any, biases: Any, factors: Any, steps: Any) -> None:
    """One step a rating, in place: biases and factors of users and of items.

    Args:
        ratings: users, items and values [ratings] less their mean.
        steps: learning rate, and the shrinkage of biases and of factors.
    """
    users, items, values = ratings
    (user_bias, item_bias), (user_factors, item_factors) = biases, factors
    rate, bias_shrinkage, factor_shrinkage = steps
    for place in range(len(values)):
        user, item = users[place], items[place]
        mine, its = user_factors[user], item_factors[item]
        error = values[place] - user_bias[user] - item_bias[item]
        for factor in range(len(mine)):
            error -= mine[factor] * its[factor]
        user_bias[user] += rate * (error - bias_shrinkage * user_bias[user])
        item_bias[item] += rate * (error - bias_shrinkage * item_bias[item])
        for factor in range(len(mine)):
            before = mine[factor]
            mine[factor] += rate * (error * its[factor] - factor_shrinkage * before)
            its[factor] += rate * (error * before - factor_shrinkage * its[factor])
