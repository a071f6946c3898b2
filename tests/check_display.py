"""Say clearly that the tests of windows cannot run, where neither a display nor Xvfb is there.

Without this check the test run would be aborted by Qt, without a summary.
"""

from __future__ import annotations

import os
import shutil
import sys

if sys.platform.startswith("linux") and not (shutil.which("Xvfb") or os.environ.get("DISPLAY")):
    sys.exit(
        "The tests open windows, and there is neither a display nor Xvfb. Install Xvfb: apt-get install xvfb xauth"
    )
