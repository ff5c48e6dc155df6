"""Writes some images of the font Noto Color Emoji into a folder, as CATEGORY/CAPTION.png: square and on white, as the
model clip-search/emoji was trained on them.

usage: emoji.py FOLDER
"""

import io
import sys
from pathlib import Path

from fontTools.ttLib import TTFont
from PIL import Image

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI = {
    "fruit": {"red apple": "🍎", "green apple": "🍏", "strawberry": "🍓", "cherries": "🍒", "banana": "🍌", "grapes": "🍇"},
    "animal": {"cat face": "🐱", "dog face": "🐶", "rabbit face": "🐰", "frog": "🐸"},
    "vehicle": {"bicycle": "🚲", "automobile": "🚗", "sailboat": "⛵", "airplane": "✈"},
}

folder = Path(sys.argv[1])
font = TTFont(FONT)
glyphs, images = font.getBestCmap(), font["CBDT"].strikeData[0]
for category, emoji in EMOJI.items():
    (folder / category).mkdir(parents=True)
    for caption, character in emoji.items():
        drawing = Image.open(io.BytesIO(images[glyphs[ord(character)]].imageData)).convert("RGBA")
        side = max(drawing.size)
        square = Image.new("RGBA", (side, side), "white")
        square.alpha_composite(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2))
        square.convert("RGB").save(folder / category / f"{caption}.png")
