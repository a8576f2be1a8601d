"""DVC stages. Each reads its section of params.yaml, calls one function of jscgc and writes its declared outputs."""
