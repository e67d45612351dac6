"""From a data set to batches: samples, their order, and augmentation."""
