"""DVC stages. Each reads its section of params.yaml, calls one function of jscgc and writes its declared outputs."""

from jscgc.startup import collect_seldom, keep_to_quota

collect_seldom()  # a stage is a process
keep_to_quota()
