"""Images, videos and cameras, read and written."""
