"""From files to batches: reading, label audit, splits, references, statistics, graph cache, Lightning data module.

``scalarpath.data.datamodule.AtomicDataModule`` is the way in for training; ``scalarpath.data.sources.load_dataset``
gives the bare frames. Nothing is imported here, so that configuration errors need neither torch nor Lightning.
"""
