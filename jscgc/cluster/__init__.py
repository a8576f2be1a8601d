"""Everything that knows Ray: the cluster's session, parallel jobs."""

from jscgc.cluster.jobs import MakeRunner, Runner, Workers, WorkersDied, run_jobs
from jscgc.cluster.session import device, on_a_cluster

__all__ = ["MakeRunner", "Runner", "Workers", "WorkersDied", "device", "on_a_cluster", "run_jobs"]
