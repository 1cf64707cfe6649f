"""Raw tiles of any kind, found in a folder and read off: files, headers, sizes."""
