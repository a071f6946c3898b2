"""The registry of networks: what is no architecture is refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from unveil.errors import ConfigError
from unveil.networks.build import build_network


@pytest.mark.parametrize("given", ["unet", {"kind": "unet"}, None])
def test_what_is_no_architecture_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected\. Give one, such as UNetConfig\(\)"):
        build_network(given)
