"""The transaction and its crash model on every Python from 3.8 on that this machine has."""

import os
import subprocess
from pathlib import Path

import pytest
import support.stories
from support.device import interpreters

import edgeform_device

SOURCE = """
import sys
from support.crashmodel import explore
from support.stories import STORIES
for name, story in STORIES.items():
    report = explore(story, cut_again=False)
    assert not report.violations, (name, report.violations)
    assert report.first_cuts > 20
print(len(STORIES), "stories on", sys.version.split()[0])
"""
FOUND = interpreters()


@pytest.mark.skipif(not FOUND, reason="no other Python of 3.8 or newer on this machine")
@pytest.mark.parametrize("python", FOUND, ids=lambda path: path.parents[1].name)
def test_every_story_survives_every_cut(python):
    paths = [Path(support.stories.__file__).parents[1], Path(edgeform_device.__file__).parents[1]]
    done = subprocess.run(
        (python, "-c", SOURCE),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-1500:]
    assert f"{len(support.stories.STORIES)} stories" in done.stdout.decode()
