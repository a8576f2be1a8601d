"""What another distribution adds to JSCGC: a file each for a trained method, one that needs no training, a channel, a metric."""
