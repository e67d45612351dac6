"""`hardedge check`: what a data set holds, and every fault of it."""
