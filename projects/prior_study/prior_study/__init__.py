"""Plans, runs and reports controlled comparisons of training variants."""
