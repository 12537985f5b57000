"""Synthetic blur: the path of the camera, the exposure, and pairs made from sharp photos."""
