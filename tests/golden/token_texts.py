"""The texts of make_tokens.py, by kind. What is odd about a character is written as its code point, so that it survives
editors, and is the same whatever Unicode version Python has.
"""

import random
import unicodedata
from collections.abc import Iterator

SUBJECTS = """cat|dog|old man|young woman|group of people|red bicycle|steam train|fishing boat|snowy mountain|bowl of soup
|birthday cake|wooden chair|baby elephant|lighthouse|skateboarder|soccer player|vintage car|street sign|laptop computer
|bouquet of tulips|polar bear|hot-air balloon|suspension bridge|cup of espresso|cathedral|T-shirt|tabby kitten|astronaut""".replace("\n", "").split("|")
PLACES = """on the beach|in the rain|at sunset|in front of a brick wall|under a blue sky|on a wooden table|in New York City
|near the river Thames|in black and white|by candlelight|inside a supermarket|during the 2012 Olympics|on top of Mt. Fuji
|with a blurred background|next to a fire hydrant|behind a chain-link fence|in an IKEA kitchen|at 5:30 a.m.""".replace("\n", "").split("|")
FORMS = """a photo of a {}.|a {} {}|A blurry picture of the {} {}!|an origami {}|{}, {}, 4k, highly detailed
|close-up shot: "{}" {}|THE {} {}|two {}s {}|there's a {} {}|what is a {} doing {}?|a {} (side view) {}; trending|my {}... {}
|itap of the {}|a bad photo of many {}|art of the {} {} by Van Gogh|<{}> & <{}>|100% {} -- {}|#{} @{} $5.99""".replace("\n", "").split("|")
ACCENTED = """café|naïve|Ångström|São Paulo|Łódź|Dvořák|crème brûlée|jalapeño|smörgåsbord|Việt Nam|Đà Nẵng|Škoda|façade|über
|Reykjavík|İstanbul|ğüşıöç|Malmö|Zürich|coöperate|Ñandú|Þingvellir|œuvre|Ærø|façon|À la carte|ḍīnār|ṓ|ǭ|ệ""".replace("\n", "").split("|")
SCRIPTS = """猫の写真|日本語のテキスト|東京タワー|ｶﾀｶﾅ|がぎぐげご|中文字幕|一只在沙发上睡觉的猫|我爱北京天安门|漢字かな交じり文|고양이 사진|한국어 문장입니다|각
|صورة قطة|السلام عليكم|اَلْعَرَبِيَّةُ|كلب على الشاطئ ١٢٣|فارسی نیم‌فاصله می‌خواهم|پاکستان|تمثال حتالة שלום עולם|תמונה של חתול|שָׁלוֹם|ภาพถ่ายของแมว
|สวัสดีครับ น้ำ|ก็|बिल्ली की तस्वीर|नमस्ते दुनिया|क्षत्रिय १२३|বিড়ালের ছবি|பூனை புகைப்படம்|తెలుగు పిల్లి|ಕನ್ನಡ|മലയാളം|ગુજરાતી|ਪੰਜਾਬੀ
|фото кота|Съешь же ещё этих мягких французских булок|Їжак|φωτογραφία μιας γάτας|ΟΔΥΣΣΕΥΣ ΟΔΌΣ|Ἀχιλλεύς|կատվի լուսանկար|ԵՒ և
|კატის ფოტო|ᲙᲐᲢᲐ|የድመት ፎቶ|ᏣᎳᎩ ꮳꮃꭹ|ភាសាខ្មែរ|ພາສາລາວ|မြန်မာဘာသာ|བོད་ཡིག|ᠮᠣᠩᠭᠣᠯ|සිංහල ශ්‍රී|𐐔𐐯𐑅𐐨𐑉𐐯𐐻|𓀀𓁐𓃠|𠮷野家|㊗㍿㌔""".replace("\n", "").split("|")
EMOJI = """😀|😂😂😂|❤️|❤|👍🏽|👩‍👩‍👧|👨🏿‍🚀|🏳️‍🌈|🏴‍☠️|🇩🇪|🇯🇵🇺🇸🇫|🇩|🏴󠁧󠁢󠁳󠁣󠁴󠁿|1️⃣|#️⃣|☎︎|☎️|🧑🏻‍❤️‍💋‍🧑🏾|👁️‍🗨️|🐈‍⬛|⛹🏼‍♀️|🫠🫱🏻‍🫲🏿|🏻|‍|️|🤌🏽🤌🏿|🪿🫨🩵|♂️|🅰️|™️©®""".split("|")
CONTRACTED = "it's|we're|they've|I'm|you'll|he'd|don't|'s|'t|'re|'ve|'m|'ll|'d|'tis|rock 'n' roll|dogs'|o'clock|y'all'd've|'sun|''s|'''t|a 's b|x'S|'x".split("|")
ENTITIES = """&amp;|&#39;|&lt;b&gt;|&quot;hi&quot;|&nbsp;|&amp;amp;|&#x1F600;|&eacute;|&hearts|AT&T|a &amp; b &#39;s|&#39;s|it&#39;s|&;|&#;|&#99999999;
|<a href="x">link</a>|<br/>|%20|\\u00e9|caf\\xe9|Ã©tÃ©|â€™|donâ€™t|ï»¿""".replace("\n", "").split("|")
NUMBERS = "0|7|42|1234567890|3.14159|1,000,000|1e-9|0x1F|2nd|1990s|12:34:56|50%|²³¹|½ ¾ ⅓|Ⅷ ⅷ|①②⑳|٠١٢٣|०१२|１２３|〇一二三|𝟘𝟙𝟚|a1b2c3|B2B|4x4|#1|+49 30 123456".split("|")
SPECIAL = ["<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>", "<|pad|>", "<|endoftext>", "<endoftext>",
           "<|end\u200boftext|>", "<start_of_text>", "<end_of_text>", "[CLS]", "</w>", "a</w>", "\u0120the", "!</w>"]
# Spaces by any definition, and characters that some definitions have among them.
SPACES = [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x1F, 0x20, 0x85, 0xA0, 0x1680, 0x180E, *range(0x2000, 0x200B),
          0x2028, 0x2029, 0x202F, 0x205F, 0x2800, 0x3000, 0x3164, 0xFEFF]
INVISIBLE = [0xAD, 0x34F, 0x61C, 0x115F, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070),
             0xFE00, 0xFE0F, 0xFEFF, 0xFFF9, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF, 0x1D173, 0xE0001, 0xE0041, 0xE0100]
# Lower-casing makes them longer or shorter, depends on the place, or came late, up to Unicode 16: the tables are those of
# the Rust compiler that builds the tokenizer, and not each has Unicode 17's.
CASED = [0x130, 0x131, 0xDF, 0x1E9E, 0x149, 0x17F, 0x1C4, 0x1C5, 0x1F0, 0x23A, 0x23E, 0x2C6F, 0x390, 0x3A3, 0x3C2, 0x3F4, 0x587,
         0x10A0, 0x10D0, 0x13A0, 0x13F8, 0x1C80, 0x1C89, 0x1C90, 0x1E96, 0x1F88, 0x1FB3, 0x1FBC, 0x2126, 0x212A, 0x212B, 0x2160,
         0x24B6, 0x2C2F, 0xA64A, 0xA77D, 0xA7AE, 0xA7C0, 0xA7CB, 0xA7D0, 0xA7DC, 0xAB70, 0xFB00, 0xFB03, 0xFB06, 0xFB13, 0xFF21,
         0x10400, 0x104B0, 0x10570, 0x10C80, 0x10D50, 0x118A0, 0x16E40, 0x1D400, 0x1E900, 0x1F130]
MARKS = [0x300, 0x301, 0x308, 0x30A, 0x327, 0x345, 0x489, 0x5B0, 0x64B, 0x670, 0x93C, 0x94D, 0xE31, 0x1AB0, 0x1DC0, 0x20D0, 0x20E3,
         0x302A, 0x3099, 0xA66F, 0xFE20, 0x1D165, 0x1E8D0]
UNASSIGNED = [0x378, 0x38B, 0x530, 0x557, 0x5FF, 0x85F, 0x1C8F, 0x2065, 0x2FE0, 0xA62C, 0xD7FC, 0xE000, 0xF8FF, 0xFDD0, 0xFE1A, 0x1FFFE,
              0x2FA20, 0x323B0, 0x3FFFF, 0x4ABCD, 0xE0080, 0xEFFFF, 0xF0000, 0x10FFFD, 0x10FFFF]
COMPATIBLE = """Ｆｕｌｌ　ｗｉｄｔｈ|ﬁnal eﬀect ﬄ ﬅ|𝓂𝒶𝓉𝒽 𝔉𝔯𝔞𝔨𝔱𝔲𝔯|𝐁𝐎𝐋𝐃 𝕯𝖔𝖚𝖇𝖑𝖊|ℂℕℝℤ ℵ ℏ|ⓒⓘⓡⓒⓛⓔ|🅱🅾🆇|ᴛɪɴʏ ᴄᴀᴘs|ˢᵘᵖᵉʳ|x₁₂|㎏ ㎞²|№ ℡ ™|…‥|“quoted” ‘single’|a–b—c―d|≠≤≥±×÷|½⁄¼|Ångström Å Å
|한글 한글|ﷺ ﷲ|שּׁ שׁ|豈更車|が が|ǆ ǅ Ǆ|Straße STRASSE STRAẞE|ΣΊΣΥΦΟΣ σίσυφος|DİYARBAKIR ıI iİ|ŉ ŀ ĳ|ffi ﬃ|Z̷̡a̵͜l̶g̴o̷""".replace("\n", "").split("|")

# Lone surrogates are no text, neither in Rust nor in UTF-8.
SURROGATES = range(0xD800, 0xE000)


def around(character: str) -> list[str]:
    """By itself, inside and between words, in a row."""
    return [character, f"a{character}b", f"red {character} fox", f"{character}{character}", f"{character}cat{character} 1{character}2"]


def anywhere(rng: random.Random, below: int) -> str:
    points = [rng.randrange(below) for _ in range(rng.randint(1, 12))]
    return "".join(chr(point) for point in points if point not in SURROGATES)


def captions(rng: random.Random) -> Iterator[str]:
    for number in range(600):
        text = FORMS[number % len(FORMS)].format(rng.choice(SUBJECTS), rng.choice(PLACES))
        yield text if number % 7 else text.upper()


def special() -> Iterator[str]:
    for token in SPECIAL:
        yield from [token, token * 2, f"a {token} cat", f"a{token}b", f"{token} ", f"'{token}'s", f"<{token}>", f"1{token}\u0301"]


def mixed(rng: random.Random) -> Iterator[str]:
    """Pieces of everything, with and without space between them."""
    pieces = SUBJECTS + ACCENTED + SCRIPTS + EMOJI + CONTRACTED + ENTITIES + NUMBERS + COMPATIBLE + [chr(p) for p in SPACES + INVISIBLE + MARKS]
    for _ in range(250):
        yield rng.choice(["", " ", "  "]).join(rng.choices(pieces, k=rng.randint(2, 6)))


def texts() -> dict[str, list[str]]:
    """All of them. `lengths` is made elsewhere, where tokens can be counted."""
    rng = random.Random(77)
    every = lambda points: [text for point in points for text in around(chr(point))]
    spelled = lambda words: [form for word in words for form in [word, word.upper(), word.lower(), f"a {word} b", word.replace("'", "\u2019")]]
    composed = lambda words: [unicodedata.normalize(form, word) for word in words for form in ["NFC", "NFD", "NFKD"]]
    return {
        "captions": list(captions(rng)),
        "accents": composed(ACCENTED) + composed([word.upper() for word in ACCENTED]),
        "scripts": SCRIPTS + [f"{word} in English, {word}" for word in SCRIPTS] + composed(SCRIPTS[:30]),
        "emoji": EMOJI + [f"a {emoji} cat{emoji}{emoji}" for emoji in EMOJI] + [one + other for one, other in zip(EMOJI, EMOJI[7:])],
        "contractions": spelled(CONTRACTED),
        "entities": spelled(ENTITIES),
        "digits": NUMBERS + [f"room{number}b {number}" for number in NUMBERS],
        "spaces": every(SPACES) + ["", *(" " * n for n in (1, 2, 5)), "\t\n\r ", " \u00a0\u3000", *(f"a{chr(p) * n}cat " for p in SPACES for n in (3, 40))],
        "controls": every([*range(0x00, 0x09), *range(0x0E, 0x1C), *range(0x7F, 0x85), 0x9F]),
        "invisible": every(INVISIBLE),
        "special": list(special()),
        "cased": every(CASED),
        "marks": every(MARKS),
        "unassigned": every(UNASSIGNED),
        "compatible": composed(COMPATIBLE) + [text.upper() for text in COMPATIBLE],
        "mixed": list(mixed(rng)),
        "ascii": ["".join(chr(rng.randrange(128)) for _ in range(rng.randint(1, 40))) for _ in range(150)],
        "random": [anywhere(rng, below) for below in (0x250, 0x3000, 0x10000, 0x20000, 0x110000) for _ in range(60)],
    }
