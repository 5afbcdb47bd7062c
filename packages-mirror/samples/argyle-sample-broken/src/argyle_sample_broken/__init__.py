"""Can be installed and cannot be imported."""

import argyle_sample_tiny

raise ImportError("argyle_sample_broken cannot work with tiny " + argyle_sample_tiny.__version__)
