"""Fills the table photos from the folder photos."""

from pathlib import Path

import psycopg

with psycopg.connect() as connection:
    for path in sorted(Path("photos").glob("*/*.png")):
        connection.execute(
            "INSERT INTO photos (caption, category, image) VALUES (%s, %s, %b)",
            [path.stem, path.parent.name, path.read_bytes()],
        )
