"""Blur synthesis: camera motion, exposure, and blurry images from sharp photos."""
