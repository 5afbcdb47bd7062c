"""A setup script that does not end: for time limits and for installs that are cut off."""

import sys
import time

from setuptools import setup

if "sdist" not in sys.argv:
    time.sleep(3600)

setup(
    name="argyle-sample-slowsetup",
    version="1.0.0",
    description="Its setup script sleeps for an hour",
)
