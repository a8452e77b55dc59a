from tests.governance.conftest import loading

__all__ = ["loading"]
