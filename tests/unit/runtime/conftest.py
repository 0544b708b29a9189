import shutil
import tempfile
from pathlib import Path

import pytest
from support.runtime import Prefix, a_pipeline_file, running


@pytest.fixture
def prefix():
    """A prefix at a short path: socket addresses are at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="efr-"))
    yield Prefix(path)
    shutil.rmtree(path)


@pytest.fixture
def daemon(prefix):
    """The daemon with the digit model, frames pushed over HTTP."""
    prefix.put_model()
    with running(prefix, prefix.put_pipeline(a_pipeline_file())) as found:
        yield found


@pytest.fixture(scope="session")
def shared():
    """One daemon for all tests that only ask it something and leave it as it was."""
    path = Path(tempfile.mkdtemp(prefix="efr-"))
    prefix = Prefix(path)
    prefix.put_model()
    with running(prefix, prefix.put_pipeline(a_pipeline_file())) as found:
        yield found
    shutil.rmtree(path)
