"""Programs that the tests use for real and that pip can not bring: Debian's, as `.ci/packages` lists them."""

import os
import shutil
from pathlib import Path

import pytest


def tool(*names: str) -> Path:
    """The first of these programs that is installed.

    Where none is, a developer's run skips the test and says what to install; in CI, which installs `.ci/packages`, it
    fails: a test that could not run there has not passed.
    """
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    lacking = f"{names[0]} is not installed (see .ci/packages; apt-get install it to run this test)"
    if os.environ.get("CI"):
        pytest.fail(lacking)
    pytest.skip(lacking)
