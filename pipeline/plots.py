"""`make plots`: `dvc plots show` on a page that opens without a network; `make plots DIFF=HEAD~1` is `dvc plots diff`.

DVC's own page loads its drawing library from a server; this one has it inside.
"""

from __future__ import annotations

import os
import subprocess
import sys

from jscgc.files import atomic
from jscgc.project import home

VEGA_LITE = "5.21"
"""The version that DVC's templates, and ours, are written for."""
PAGE = """<!DOCTYPE html>
<html>
<head>
    <meta charset="utf-8">
    {refresh_tag}
    <title>DVC Plot</title>
    <style>table {border-spacing: 15px}</style>
    <script>(function() {
BUNDLE
})();</script>
</head>
<body>
    {plot_divs}
</body>
</html>
"""


def template() -> str:
    """DVC's page with vega, vega-lite and vega-embed in it."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    return PAGE.replace("BUNDLE", bundle.replace("</script", "<\\/script"))


def main() -> int:
    """The status of dvc."""
    page = home() / "plots.html"
    with atomic(page) as temporary:
        temporary.write_text(template(), encoding="utf-8")
    revision = os.environ.get("DIFF", "")
    command = ["diff", revision] if revision else ["show"]
    return subprocess.run([sys.executable, "-m", "dvc", "plots", *command, "--html-template", str(page)]).returncode


if __name__ == "__main__":
    sys.exit(main())
