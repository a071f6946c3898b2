"""Average the weights of two models of one architecture: that of stages of one training is often better than either.

    python recipes/average_weights.py FIRST SECOND SHARE OUTPUT

SHARE, 0 to 1, is the part of SECOND, whose card the result keeps.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

from unveil import Model, load_model, save_model


def main(first: Path, second: Path, share: float, output: Path) -> None:
    """Write the average of both models."""
    one, other = load_model(first), load_model(second)
    weights, others = one.network.state_dict(), other.network.state_dict()
    network = copy.deepcopy(other.network)
    network.load_state_dict({name: (1 - share) * weights[name] + share * others[name] for name in others})
    card = other.card.model_copy(update={"conformal": None})  # scores of other weights
    save_model(Model.make(card, network, other.check_input), output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
