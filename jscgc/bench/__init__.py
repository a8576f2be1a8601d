"""Measurements that anyone can repeat: `jscgc bench scan | encoder | rates`."""
