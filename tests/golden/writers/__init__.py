"""Writers of images in every variant of the formats, one module for each format.

Each module has `variants()`: tuples of the variant's name in docs/parity.md, the file's name, and its bytes.
"""
