"""Reading: the bytes of a recording become samples."""
