"""Tables, figures and the page, from results files alone: a report can be remade from any results.csv.

    results.csv --summarise--> summary.json --headline, figures--> index.html <--pictures, curves, stage metrics

Nothing here imports torch or needs a trained model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jscgc.report.headline import Headline, headline_table, print_headline
    from jscgc.report.page import build_page
    from jscgc.report.pictures import picture_grid
    from jscgc.report.reading import load_results
    from jscgc.report.summary import summarise

__all__ = ["Headline", "build_page", "headline_table", "load_results", "picture_grid", "print_headline", "summarise"]
_PLACES = {
    "Headline": "headline",
    "headline_table": "headline",
    "print_headline": "headline",
    "build_page": "page",
    "picture_grid": "pictures",
    "load_results": "reading",
    "summarise": "summary",
}


def __getattr__(name: str) -> Any:
    """Plotting libraries are imported once something is drawn: the command line looks at this package for its --help."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
