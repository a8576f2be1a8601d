"""The arguments of every benchmark: a new file that declares a `Benchmark` is a new one. Heavy imports wait until it runs."""
