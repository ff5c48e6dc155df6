"""Emoji, their words and their pictures.

The list comes from Unicode's emoji-test.txt (Debian package unicode-data), the words from CLDR's English annotations
(unicode-cldr-core), the pictures out of Noto Color Emoji (fonts-noto-color-emoji). A second renderer for training (Fluent
Emoji Flat) and one for evaluation alone (Twemoji) are npm packages, fetched by `npm pack`.
"""

import io
import json
import re
import subprocess
import tarfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import resvg_py
import uharfbuzz
from fontTools.ttLib import TTFont
from PIL import Image

EMOJI_TEST = Path("/usr/share/unicode/emoji/emoji-test.txt")
ANNOTATIONS = Path("/usr/share/unicode/cldr/common")
NOTO = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
PACKAGES = {"fluent": "@iconify-json/fluent-emoji-flat@1.2.6", "twemoji": "@twemoji/svg@15.0.0"}

SKIN_TONES = {chr(c) for c in range(0x1F3FB, 0x1F400)}
GENDER_SIGNS = {"\u2640", "\u2642"}
ADULTS = ("\U0001f468", "\U0001f469")
VARIATION = "\ufe0f"
JOINER = "\u200d"
STOP = set("a an the of on in with and or for to at by from is de".split())


@dataclass
class Emoji:
    """One emoji: its characters, CLDR's short name, keywords, and Unicode's group and subgroup."""

    characters: str
    name: str
    group: str
    subgroup: str
    keywords: list[str] = field(default_factory=list)

    @property
    def code_points(self) -> str:
        return " ".join(f"{ord(c):04X}" for c in self.characters)

    @cached_property
    def words(self) -> set[str]:
        """Every word that is said of it; a caption made of these alone is true of it."""
        text = " ".join([self.name, *self.keywords, self.subgroup.replace("-", " ")])
        return set(words_of(text))


def parts_of(words: set[str], vocabulary: set[str]) -> set[str]:
    """The halves of compounds, so that a sailboat is a boat: the second half has to be a word that is said of an emoji."""
    parts = set()
    for word in words:
        for cut in range(3, len(word) - 3):
            if word[cut:] in vocabulary:
                parts |= {word[:cut], word[cut:]}
    return parts


def inflections(word: str) -> list[str]:
    """Forms in which people type a word."""
    stem = word[:-1] if word.endswith("e") else word
    return [word + "s", stem + "ing", stem + "ed", stem + "y", stem + "er"]


def words_of(text: str) -> list[str]:
    return [word for word in re.findall(r"[\w']+", text.lower()) if word not in STOP]


def wanted(characters: str, group: str, subgroup: str) -> bool:
    """The selection: no parts, skin tones, gender variants, flags of countries and regions."""
    if group == "Component" or subgroup in ("country-flag", "subdivision-flag"):
        return False
    if any(c in SKIN_TONES or c in GENDER_SIGNS for c in characters):
        return False
    # Joined to something else, a man or a woman is a variant of a neutral person, couple or family.
    return not (JOINER in characters and any(adult in characters for adult in ADULTS))


def read_emoji() -> list[Emoji]:
    """The selected emoji in the order of emoji-test.txt."""
    entries, group, subgroup = [], "", ""
    for line in EMOJI_TEST.read_text().splitlines():
        if line.startswith("# group:"):
            group = line.split(":", 1)[1].strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.split(":", 1)[1].strip()
        elif line and not line.startswith("#") and "; fully-qualified" in line:
            characters = "".join(chr(int(c, 16)) for c in line.split(";")[0].split())
            entries.append((characters, group, subgroup))
    names, keywords = read_annotations()
    emoji = []
    for characters, group, subgroup in entries:
        key = characters.replace(VARIATION, "")
        if wanted(characters, group, subgroup) and key in names:
            emoji.append(Emoji(characters, names[key], group, subgroup, keywords.get(key, [])))
    return emoji


def read_annotations() -> tuple[dict[str, str], dict[str, list[str]]]:
    names, keywords = {}, {}
    for folder in ["annotations", "annotationsDerived"]:
        root = ElementTree.parse(ANNOTATIONS / folder / "en.xml").getroot()
        for entry in root.iter("annotation"):
            key = entry.get("cp").replace(VARIATION, "")
            if entry.get("type") == "tts":
                names.setdefault(key, entry.text.strip())
            else:
                keywords.setdefault(key, [word.strip() for word in entry.text.split("|")])
    return names, keywords


def on_white(picture: Image.Image) -> Image.Image:
    """A picture as the model sees it: on plain white, square, the drawing in the middle."""
    picture = picture.convert("RGBA")
    side = max(picture.size)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square.convert("RGB")


class Noto:
    """Pictures of Noto Color Emoji: 136 by 128 pixels, in the font's CBDT table."""

    def __init__(self):
        self.font = TTFont(NOTO)
        self.order = self.font.getGlyphOrder()
        self.bitmaps = self.font["CBDT"].strikeData[0]
        self.shaper = uharfbuzz.Font(uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(NOTO))))

    def picture(self, characters: str) -> Image.Image | None:
        """None where the font has no single glyph for it."""
        buffer = uharfbuzz.Buffer()
        buffer.add_str(characters)
        buffer.guess_segment_properties()
        uharfbuzz.shape(self.shaper, buffer)
        glyphs = [self.order[info.codepoint] for info in buffer.glyph_infos]
        if len(glyphs) != 1 or glyphs[0] not in self.bitmaps:
            return None
        return on_white(Image.open(io.BytesIO(self.bitmaps[glyphs[0]].imageData)))


def package(name: str, cache: Path) -> tarfile.TarFile:
    """An npm package's archive, kept in `cache`."""
    folder = cache / name
    if not list(folder.glob("*.tgz")):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", PACKAGES[name]], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return tarfile.open(next(folder.glob("*.tgz")))


def draw(svg: str) -> Image.Image:
    png = resvg_py.svg_to_bytes(svg_string=svg, width=128, height=128)
    return on_white(Image.open(io.BytesIO(bytes(png))))


def twemoji(emoji: list[Emoji], cache: Path) -> list[Image.Image | None]:
    """Twemoji's picture of each emoji, for evaluation."""
    pictures = []
    with package("twemoji", cache) as archive:
        files = {Path(member.name).stem: member for member in archive if member.name.endswith(".svg")}
        for one in emoji:
            plain = one.characters if JOINER in one.characters else one.characters.replace(VARIATION, "")
            stem = "-".join(f"{ord(c):x}" for c in plain)
            member = files.get(stem) or files.get("-".join(f"{ord(c):x}" for c in one.characters))
            pictures.append(draw(archive.extractfile(member).read().decode()) if member else None)
    return pictures


def fluent(emoji: list[Emoji], cache: Path) -> list[Image.Image | None]:
    """Fluent Emoji Flat's picture of each emoji, for training; found by its name."""
    with package("fluent", cache) as archive:
        icons = json.load(archive.extractfile("package/icons.json"))
    size, bodies = icons.get("height", 32), {name: icon["body"] for name, icon in icons["icons"].items()}
    for alias, entry in icons.get("aliases", {}).items():
        if entry["parent"] in bodies:
            bodies[alias] = bodies[entry["parent"]]
    pictures = []
    for one in emoji:
        slug = "-".join(re.findall(r"[a-z0-9]+", one.name.lower().replace("’", "").replace("ñ", "n")))
        body = bodies.get(slug) or bodies.get(slug + "-default")
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}">{body}</svg>'
        pictures.append(draw(svg) if body else None)
    return pictures


def as_array(pictures: list[Image.Image | None], side: int) -> np.ndarray:
    """uint8 array of shape (n, 3, side, side); what is missing is zeros."""
    arrays = np.zeros((len(pictures), 3, side, side), np.uint8)
    for row, picture in zip(arrays, pictures):
        if picture is not None:
            row[:] = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    return arrays


def load(cache: Path) -> tuple[list[Emoji], dict[str, list[Image.Image | None]]]:
    """Emoji that Noto draws, and the pictures of each renderer."""
    noto = Noto()
    emoji = read_emoji()
    drawn = [noto.picture(one.characters) for one in emoji]
    emoji = [one for one, picture in zip(emoji, drawn) if picture]
    pictures = {"noto": [picture for picture in drawn if picture]}
    pictures["fluent"] = fluent(emoji, cache)
    pictures["twemoji"] = twemoji(emoji, cache)
    return emoji, pictures
