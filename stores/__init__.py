"""WRITE. Samples become a verified Zarr store."""
