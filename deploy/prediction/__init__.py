"""`hardedge predict`: folders, videos and cameras into masks, on this machine or on Ray."""
