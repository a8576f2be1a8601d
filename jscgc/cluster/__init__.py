"""Everything that knows Ray: the cluster's session, parallel jobs."""

from jscgc.cluster.jobs import Runner, run_jobs

__all__ = ["Runner", "run_jobs"]
