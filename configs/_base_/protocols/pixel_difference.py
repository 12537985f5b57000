# Compares images value by value, for example with the images that the authors of a restorer
# published. largest-difference is in gray levels. equal-values is a share from 0 to 1.
pixel_difference_metrics = [dict(type='mmspd.PixelDifference')]
