"""Tables, figures and the page, from results files alone: a report can be remade from any results.csv.

    results.csv --summarise--> summary.json --headline, figures--> index.html <--pictures, curves, stage metrics

Nothing here imports torch or needs a trained model.
"""

from jscgc.report.headline import Headline, headline_table, print_headline
from jscgc.report.page import build_page
from jscgc.report.pictures import picture_grid
from jscgc.report.results import load_results
from jscgc.report.summary import summarise

__all__ = ["Headline", "build_page", "headline_table", "load_results", "picture_grid", "print_headline", "summarise"]
