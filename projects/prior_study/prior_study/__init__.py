"""Controlled comparisons of training variants: plan, run and report them."""
