"""Adapters from the layout of a data set on disk to an index of videos, one module per data set.

To add a data set, add one module to this package. `datasets.index` finds it by these names:

- NAME: the name of the layout in messages.
- LAYOUT: the paths that are expected below the root, separated by commas, the real videos first.
- fits(root): return True when the folder `root` looks like this data set.
- index(root, dataset=None): return (videos, skipped) as `records.collect` does. An adapter of a
  data set with several compressions also has the parameter `compression`.
- ORDER (optional): adapters are tried from the lowest ORDER to the highest. An adapter without
  ORDER is tried after those that have one.

`records` and `splits` are helpers of the adapters: they have no NAME.
"""
