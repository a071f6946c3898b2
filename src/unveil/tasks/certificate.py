"""Whether a model's weights bear out what its card promises of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from unveil.errors import InputError
from unveil.io.model_file import load_model
from unveil.model.lipschitz import model_bound
from unveil.model.model import Model
from unveil.operators.lipschitz import at_most

STABLE = "stable: moves no two images apart"
"""What a model is called whose certified bound is 1 or less."""


@dataclass(frozen=True, slots=True)
class CertificateCheck:
    """A certificate beside what its model's weights give.

    Attributes
    ----------
    promised
        The bound in the card.
    bound
        The bound recomputed from the weights; None where it could not be.
    seconds
        What that took.
    problem
        Why it could not be, in a sentence.
    """

    promised: float
    bound: float | None
    seconds: float
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether the weights bear the certificate out."""
        return self.bound is not None and self.bound <= self.promised

    @property
    def is_stable(self) -> bool:
        """Whether no two images are moved apart, as the weights themselves show."""
        return self.holds and self.bound is not None and self.bound <= 1

    @property
    def words(self) -> str:
        """Say it in a line."""
        if not self.holds:
            found = self.problem or f"they allow {self.bound:.6g}"
            return f"NOT borne out: the card promises {self.promised:.6g} from the weights, but {found}"
        what = (
            STABLE if self.is_stable else f"moves no two images more than {at_most(self.promised):g} times as far apart"
        )
        return f"{what} (recomputed from the weights in {self.seconds:.1f} s)"


def check_certificate(model: Model | str | Path) -> CertificateCheck | None:
    """Recompute the bound of a model from its weights and compare it with its card; None where that promises nothing.

    Parameters
    ----------
    model
        A model, its name, or its file.

    Raises
    ------
    ModelFileError
        If the file cannot be used; weights that were altered since the file was written are found here.
    """
    model = model if isinstance(model, Model) else load_model(model)
    if model.card.certificate is None:
        return None
    started, promised = time.monotonic(), model.card.certificate.bound
    try:
        bound, problem = model_bound(model), ""
    except InputError as error:
        bound, problem = None, str(error)
    return CertificateCheck(promised, bound, time.monotonic() - started, problem)
