"""Read, recognize, convert and strictly load the weights of other projects."""
