"""Documents in a folder of their own, loaded as `sidecar run` loads them."""

from tests.governance.conftest import loading

__all__ = ["loading"]
