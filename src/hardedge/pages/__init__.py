"""One-file HTML pages: markup, charts, thumbnails, style and script."""
