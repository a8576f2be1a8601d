"""The evaluation grid: systems over photographs, channels, SNRs and rates, scored by metrics into one tidy table."""
