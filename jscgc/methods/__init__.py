"""One module a method: what it is called, its settings, how its network is built and trained. See `jscgc.method`.

Any module here that declares a `Method` is found; nothing else lists them. Torch is imported inside of functions only.
"""
