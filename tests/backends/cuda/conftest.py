"""The name "cuda" stands for the backend on kernels compiled for the host, where a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ostinato.backends.choose import BACKENDS
from tests.backends.cuda.host_driver import HostCuda


@pytest.fixture(scope="module")
def host_cuda() -> Iterator[HostCuda]:
    """All drivers that were opened must be closed in the end."""
    cuda = HostCuda()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "cuda", lambda: cuda)  # type: ignore[arg-type]
        yield cuda
    assert all(driver.closed for driver in cuda.drivers)
